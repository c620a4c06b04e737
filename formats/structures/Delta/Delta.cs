namespace ModelPack.Structures;

/// <summary>Makes <c>delta</c> encodings.</summary>
public static class Delta
{
    /// <summary>The registered name of the structure.</summary>
    public const string Id = "delta";

    private static readonly UnitSpec Spec = new(Id);

    /// <summary>The element type that differences of <paramref name="dtype"/> are stored in; false for types whose elements are not integers of a usual width.</summary>
    public static bool TryElementType(DType dtype, out DType difference)
    {
        difference = dtype.BitsPerElement() switch
        {
            2 => DType.U2,
            4 => DType.U4,
            8 => DType.U8,
            16 => DType.U16,
            32 => DType.U32,
            64 => DType.U64,
            _ => DType.Undefined,
        };
        return difference != DType.Undefined;
    }

    /// <summary>Bytes that are added as one integer.</summary>
    public static int Width(DType difference) => Math.Max(1, difference.BitsPerElement() / 8);

    /// <summary>An encoding of differences.</summary>
    /// <param name="difference">From <see cref="TryElementType"/>.</param>
    /// <param name="shape">Shape of the tensor.</param>
    /// <param name="data">The differences, as <see cref="DeltaKernel.Subtract"/> makes them.</param>
    public static WeightEncoding Of(DType difference, Shape shape, TensorData data) => new StructuredEncoding(Spec, shape, [DenseEncoding.Raw(difference, shape, data)]);
}
