namespace ModelPack.Structures;

/// <summary>Makes <c>sum</c> encodings.</summary>
public static class SumOf
{
    /// <summary>The registered name of the structure.</summary>
    public const string Id = "sum";

    /// <summary>Most components.</summary>
    public const int MaxComponents = 8;

    /// <summary>The sum of some encodings of one shape, 2 to 8.</summary>
    public static StructuredEncoding Of(params ReadOnlySpan<WeightEncoding> components) => new(new UnitSpec(Id), components[0].Shape, [.. components]);

    /// <exception cref="ModelPackException">MP1020: other components. MP1022: arguments.</exception>
    internal static void Check(StructuredEncoding encoding)
    {
        encoding.Structure.AllowOnly();
        if (encoding.Shape.Rank == 0 || encoding.Components.Length is < 2 or > MaxComponents)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{encoding.Structure}' of {encoding.Shape} has {encoding.Components.Length} components: it takes 2 to {MaxComponents} of rank 1 and more");
        }

        Shape[] shapes = [.. Enumerable.Repeat(encoding.Shape, encoding.Components.Length)];
        LowRank.CheckComponents(encoding, shapes);
    }
}
