using ModelPack.Numbers;

namespace ModelPack.Toolchain;

/// <summary>Sizes of encoding trees without reading any data.</summary>
internal static class EncodingSizes
{
    /// <summary>Bytes of the data that the tree was made from: what the weight took in the input.</summary>
    public static long SourceBytes(WeightEncoding encoding) => encoding switch
    {
        DenseEncoding { Source: WeightEncoding source } => SourceBytes(source),
        DenseEncoding { Original: WeightEncoding original } => SourceBytes(original),
        DenseEncoding dense => dense.Streams.Sum(s => s.Data.LengthBytes),
        StructuredEncoding structured => structured.Components.Sum(SourceBytes),
        _ => 0,
    };

    /// <summary>Bytes of all streams once encoded, before lossless coding.</summary>
    public static long EncodedBytes(WeightEncoding encoding) => encoding switch
    {
        DenseEncoding { IsPending: true } dense => PendingBytes(dense),
        DenseEncoding dense => dense.Streams.Sum(s => s.Data.LengthBytes),
        StructuredEncoding structured => structured.Components.Sum(EncodedBytes),
        _ => 0,
    };

    private static long PendingBytes(DenseEncoding dense)
    {
        IBoundNumberFormat format = NumberFormats.Bind(dense.Format, dense.Shape);
        return format.Streams.Sum(s => checked(s.BytesPerRow * format.Shape.Rows));
    }
}
