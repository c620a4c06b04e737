namespace ModelPack.Codecs;

/// <summary>Wire id 7: the upper bits of codes of 8 or 4 bits in 128 rANS states and up to 16 tables, the rest packed. See SPEC.md in this folder.</summary>
internal sealed class CodesRansCodec(CodecLevel level) : ICodec
{
    public string Id => "codes-rans";

    public byte WireId => 7;

    public string Summary => "codes of 8 or 4 bits and 8-bit floats: their upper bits in 128 interleaved rANS states with up to 16 tables of local scale, the rest packed; made for AVX-512";

    public bool TryEncode(ReadOnlySpan<byte> raw, DType elementType, Span<byte> destination, out int written) =>
        RansChunkEncoder.TryEncode(raw, CodeLayouts.Choose(raw), level, destination, out written);

    public bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw) => RansChunk.TryDecode(encoded, raw, wide: false);

    public bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw, out ulong hash) => RansChunk.TryDecode(encoded, raw, wide: false, out hash);
}
