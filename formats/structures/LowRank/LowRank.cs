using System.Globalization;

namespace ModelPack.Structures;

/// <summary>What the structures of low rank share.</summary>
public static class LowRank
{
    /// <summary>The registered name of a product of two matrices.</summary>
    public const string Id = "lowrank";

    /// <summary>The registered name of stored rows and combinations.</summary>
    public const string PivotId = "pivotrank";

    /// <summary>Longest side of a matrix.</summary>
    private const int MaxSide = 1 << 26;

    /// <summary>The spec of a structure.</summary>
    public static UnitSpec Spec(string id, int rank) => new(id, ("rank", rank.ToString(CultureInfo.InvariantCulture)));

    /// <summary>The rank of an encoding.</summary>
    /// <exception cref="ModelPackException">MP1020: no matrix. MP1022: no rank that it could have.</exception>
    internal static int RankOf(StructuredEncoding encoding)
    {
        encoding.Structure.AllowOnly("rank");
        Shape shape = encoding.Shape;
        if (shape.Rank != 2 || shape[0] is < 1 or > MaxSide || shape[1] is < 1 or > MaxSide)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{encoding.Structure}' cannot make {shape}: it makes matrices of 1 to {MaxSide} rows and columns");
        }

        int rank = encoding.Structure.Int("rank", 0, 1, (int)Math.Min(shape[0], shape[1]));
        return rank > 0 ? rank : throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{encoding.Structure}' does not say its rank");
    }

    /// <exception cref="ModelPackException">MP1020: other components.</exception>
    internal static void CheckComponents(StructuredEncoding encoding, params ReadOnlySpan<Shape> shapes)
    {
        if (encoding.Components.Length != shapes.Length)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{encoding.Structure}' has {encoding.Components.Length} components instead of {shapes.Length}");
        }

        for (int i = 0; i < shapes.Length; i++)
        {
            if (encoding.Components[i].Shape != shapes[i])
            {
                throw new ModelPackException(ErrorCodes.BadEncoding, $"component {i} of '{encoding.Structure}' over {encoding.Shape} is {encoding.Components[i].Shape} instead of {shapes[i]}");
            }
        }
    }

    /// <exception cref="ArgumentException">The readers are not those of the components.</exception>
    internal static void CheckReaders(StructuredEncoding encoding, IReadOnlyList<IValueReader> components)
    {
        if (components.Count != encoding.Components.Length || components.Where((c, i) => c.Shape != encoding.Components[i].Shape).Any())
        {
            throw new ArgumentException($"{encoding.Structure} needs readers of its components", nameof(components));
        }
    }
}
