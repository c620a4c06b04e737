namespace ModelPack;

/// <summary>
/// A bound format whose coded rows (<see cref="IBoundNumberFormat.Shape"/>) hold several rows of the tensor each, because scales belong to rectangles of it, and which can
/// decode some of those rows without the others: reading a row stays cheap.
/// </summary>
public interface IGroupedRowFormat : IBoundNumberFormat
{
    /// <summary>Where, within one coded row of a stream, the bytes lie that rows of the tensor need.</summary>
    /// <param name="stream">Index of the stream.</param>
    /// <param name="firstRow">First row of the tensor, counted within the coded row.</param>
    /// <param name="rows">Number of rows, at least 1.</param>
    (int OffsetBytes, int LengthBytes) Part(int stream, int firstRow, int rows);

    /// <summary>Decodes rows of the tensor from the parts that <see cref="Part"/> names, one per stream.</summary>
    /// <exception cref="ModelPackException">MP1023: bytes that this format never writes and that have no value.</exception>
    void DecodePart(ReadOnlySpan<ReadOnlyMemory<byte>> parts, int firstRow, int rows, Span<float> values);
}
