namespace ModelPack.Codecs;

/// <summary>Wire id 11: one Huffman block over bytes. See SPEC.md in this folder.</summary>
internal sealed class HuffmanCodec : ICodec
{
    public string Id => "huffman";

    public byte WireId => 11;

    public string Summary => "canonical Huffman code over bytes in eight streams: codes of 8 bits, packed low-bit codes, fp8, E8M0 scales";

    public bool TryEncode(ReadOnlySpan<byte> raw, DType elementType, Span<byte> destination, out int written)
    {
        written = 0;

        // What gains less than 1/64 is better stored: it can be mapped.
        int limit = raw.Length - (raw.Length / 64) - 1;
        if (destination.Length < 2 || !HuffmanPlane.TryEncode(raw, limit, probe: false, destination[1..], out destination[0], out int length))
        {
            return false;
        }

        written = 1 + length;
        return true;
    }

    public bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw) =>
        encoded.Length > 1 && !raw.IsEmpty && encoded[0] != HuffmanPlane.Raw && HuffmanPlane.TryDecode(encoded[0], encoded[1..], raw);
}
