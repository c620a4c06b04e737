namespace ModelPack;

/// <summary>
/// A bound format whose values are element values times a scale per block (after a zero point was taken off), so that codes can be chosen one by one once the scales are fixed:
/// what algorithms need that choose codes by what they do to a layer's output instead of by the distance to each weight. They encode rows as usual, read the scales, perhaps replace
/// them, round values onto them in any order they like, and write the codes over those of the encoder.
/// </summary>
public interface IFixedScaleFormat : IBoundNumberFormat
{
    /// <summary>Consecutive values of a row that share a scale; the last block of a row may be shorter. 0: these arguments do not have one scale per block of a row, and no other member may be called.</summary>
    int BlockColumns { get; }

    /// <summary>Factors worth trying on a scale in a search, the best guess first: 1, then smaller and larger ones as far apart as the format's scales and elements make sensible.</summary>
    ReadOnlySpan<float> ScaleFactors { get; }

    /// <summary>Reads the scales of encoded rows, and what the zero point of every block is in element values (0 for formats without).</summary>
    /// <param name="streams">As for <see cref="IBoundNumberFormat.DecodeRows(ReadOnlySpan{ReadOnlyMemory{byte}}, int, Span{float})"/>.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="scales">[rows, blocks] destination.</param>
    /// <param name="zeros">[rows, blocks] destination.</param>
    void ReadScales(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> scales, Span<float> zeros);

    /// <summary>Writes scales and zero points into the streams, rounded to what the format stores; read them back to learn what they became. Codes keep their bytes.</summary>
    /// <param name="scales">[rows, blocks], finite and positive.</param>
    /// <param name="zeros">[rows, blocks], as <see cref="ReadScales"/> gives them.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="streams">As for <see cref="IBoundNumberFormat.EncodeRows"/>.</param>
    void WriteScales(ReadOnlySpan<float> scales, ReadOnlySpan<float> zeros, int rows, ReadOnlySpan<Memory<byte>> streams);

    /// <summary>Rounds finite values as the encoder would with these scales, each value having its own.</summary>
    /// <param name="values">Values.</param>
    /// <param name="scales">A scale that was read for each of them.</param>
    /// <param name="zeros">Zero points likewise.</param>
    /// <param name="codes">Destination: the code of each.</param>
    /// <param name="rounded">Destination: what that code decodes to.</param>
    void Round(ReadOnlySpan<float> values, ReadOnlySpan<float> scales, ReadOnlySpan<float> zeros, Span<byte> codes, Span<float> rounded);

    /// <summary>Writes codes into the streams; scales keep their bytes.</summary>
    /// <param name="codes">[rows, columns], each a code that <see cref="Round"/> gave.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="streams">As for <see cref="IBoundNumberFormat.EncodeRows"/>.</param>
    void WriteCodes(ReadOnlySpan<byte> codes, int rows, ReadOnlySpan<Memory<byte>> streams);
}
