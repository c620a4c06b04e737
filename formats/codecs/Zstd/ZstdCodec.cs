namespace ModelPack.Codecs;

/// <summary>Wire id 3: one Zstandard frame. See SPEC.md in this folder.</summary>
/// <param name="level">Zstandard compression level of the encoder; the decoder does not care.</param>
internal sealed class ZstdCodec(int level) : ICodec
{
    /// <summary>Longer chunks are text, cut so that matches may be far away.</summary>
    private const int LongWindowFrom = 1 << 20;

    public string Id => "zstd";

    public byte WireId => 3;

    public string Summary => "Zstandard (RFC 8878): text, tables, anything with repetition";

    public bool NeedsCheckedInput => true;

    public bool TryEncode(ReadOnlySpan<byte> raw, DType elementType, Span<byte> destination, out int written) =>
        ZstdContext.Current.TryEncode(raw, level, destination, out written, longWindow: raw.Length > LongWindowFrom);

    public bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw) =>
        !encoded.IsEmpty && ZstdContext.Current.TryDecode(encoded, raw);
}
