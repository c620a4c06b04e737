using K4os.Compression.LZ4;

namespace ModelPack.Codecs;

/// <summary>Wire id 4: one LZ4 block. See SPEC.md in this folder.</summary>
/// <param name="highCompression">Encode slowly for a smaller block; the format is the same.</param>
internal sealed class Lz4Codec(bool highCompression) : ICodec
{
    private readonly LZ4Level _level = highCompression ? LZ4Level.L09_HC : LZ4Level.L00_FAST;

    public string Id => "lz4";

    public byte WireId => 4;

    public string Summary => "LZ4 block: decodes at memory speed, simple enough to decode anywhere";

    public bool NeedsCheckedInput => true;

    public bool TryEncode(ReadOnlySpan<byte> raw, DType elementType, Span<byte> destination, out int written)
    {
        int n = destination.IsEmpty ? -1 : LZ4Codec.Encode(raw, destination, _level);
        written = Math.Max(n, 0);
        return n > 0;
    }

    public bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw) =>
        !encoded.IsEmpty && !raw.IsEmpty && LZ4Codec.Decode(encoded, raw) == raw.Length;
}
