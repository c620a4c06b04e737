using System.Collections.Immutable;

namespace ModelPack;

/// <summary>
/// Dense values in a number format. Either <see cref="Streams"/> hold the encoded bytes, or <see cref="Source"/> holds the values
/// that are still to be encoded; the packer pulls them through the format tile by tile.
/// </summary>
/// <param name="Format">The number format with its arguments. A raw format has the name of its dtype, for example <c>bf16</c>.</param>
/// <param name="Shape">Shape of the values. Blocks and scales run along the last axis; leading axes are rows.</param>
/// <param name="Streams">The encoded streams in the order the format defines; empty while pending.</param>
/// <param name="Source">The values to encode, of the same <paramref name="Shape"/>; null once encoded.</param>
public sealed record DenseEncoding(UnitSpec Format, Shape Shape, ImmutableArray<EncodedStream> Streams, WeightEncoding? Source = null) : WeightEncoding(Shape)
{
    // Checkpoints have 100,000 tensors in a handful of dtypes.
    private static readonly UnitSpec[] RawFormats = Array.ConvertAll(Enum.GetValues<DType>(), d => new UnitSpec(d.Name()));

    /// <summary>For streams that a pass encoded: the values they were made from, for reports and comparisons. Never stored.</summary>
    public WeightEncoding? Original { get; init; }

    /// <summary>True when the values still have to be pulled through the number format.</summary>
    public bool IsPending => Source is not null;

    /// <summary>Values stored plainly in <paramref name="dtype"/>: what importers produce.</summary>
    public static DenseEncoding Raw(DType dtype, Shape shape, TensorData data) =>
        new(RawFormats[(int)dtype], shape, [new EncodedStream("values", data)]);

    /// <summary>Values to be encoded in <paramref name="format"/> when the artifact is written.</summary>
    public static DenseEncoding Pending(UnitSpec format, WeightEncoding source) => new(format, source.Shape, [], source);

    public override string Describe() => Format.ToString();
}
