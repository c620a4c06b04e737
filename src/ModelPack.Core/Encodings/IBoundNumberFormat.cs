namespace ModelPack;

/// <summary>
/// A number format bound to arguments and a shape. Values are seen as a matrix of <see cref="Shape.Rows"/> rows and
/// <see cref="Shape.Columns"/> columns; rows are independent, so any tile of whole rows can be encoded or decoded alone, on any
/// thread, with the same bytes.
/// </summary>
public interface IBoundNumberFormat
{
    /// <summary>The spec with every default filled in: what is recorded in the artifact.</summary>
    UnitSpec Spec { get; }

    /// <summary>
    /// The shape whose rows are coded: the one asked for, except that formats may take several rows of it as one. Raw formats of sub-byte types, which pack the flattened
    /// tensor, see one row of all elements where a row would not end at a byte; a format with a scale per rectangle takes the rows of a rectangle together
    /// (<see cref="IGroupedRowFormat"/>). The elements and their order are the same.
    /// </summary>
    Shape Shape { get; }

    /// <summary>Streams in their fixed order. Stream length = rows x bytes per row (raw formats of sub-byte types: see there).</summary>
    IReadOnlyList<StreamLayout> Streams { get; }

    /// <summary>Stored bits per value, all streams counted, before lossless coding.</summary>
    double BitsPerValue { get; }

    /// <summary>Encodes whole rows.</summary>
    /// <param name="values">[rows, columns] values, row-major.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="streams">One buffer per stream, in stream order, each exactly rows x bytes-per-row long.</param>
    void EncodeRows(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams);

    /// <summary>Decodes whole rows; the inverse of <see cref="EncodeRows"/>.</summary>
    /// <param name="streams">One buffer per stream, in stream order, each exactly rows x bytes-per-row long.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="values">[rows, columns] destination.</param>
    /// <exception cref="ModelPackException">MP1023: bytes that this format never writes and that have no value.</exception>
    void DecodeRows(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values);

    /// <summary>
    /// Decodes whole rows to 16-bit floats: the f32 values of <see cref="DecodeRows(ReadOnlySpan{ReadOnlyMemory{byte}}, int, Span{float})"/>, each rounded once to nearest even. Never holds more
    /// than a cache-sized piece of the tile, or one row, as f32.
    /// </summary>
    /// <param name="streams">One buffer per stream, in stream order, each exactly rows x bytes-per-row long.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="dtype"><see cref="DType.BF16"/>, <see cref="DType.F16"/> or <see cref="DType.F32"/>.</param>
    /// <param name="values">[rows, columns] destination, little-endian. NaN stays NaN; what is too large for f16 becomes infinite.</param>
    /// <exception cref="ModelPackException">MP1023: bytes that this format never writes and that have no value.</exception>
    /// <exception cref="ArgumentException">Another dtype.</exception>
    void DecodeRows(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, DType dtype, Span<byte> values);
}
