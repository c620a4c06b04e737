namespace ModelPack.Codecs;

/// <summary>Wire id 5: the exponents of fixed-width elements in 128 rANS states and up to 16 tables, the rest in planes. See SPEC.md in this folder.</summary>
internal sealed class PlanesRansCodec(CodecLevel level) : ICodec
{
    public string Id => "planes-rans";

    public byte WireId => 5;

    public string Summary => "the exponents of 2, 4 or 8-byte elements in 128 interleaved rANS states with up to 16 tables of local scale, the rest in planes; made for AVX-512";

    public bool TryEncode(ReadOnlySpan<byte> raw, DType elementType, Span<byte> destination, out int written)
    {
        RansLayout? exponent = Exponent(elementType, 0);
        written = 0;
        if (exponent is null)
        {
            return false;
        }

        if (level != CodecLevel.Max || Exponent(elementType, 1) is not { } joint)
        {
            return TryEncode(raw, elementType, exponent.Value, destination, out written);
        }

        return TryEncode(raw, elementType, joint, destination, out written);
    }

    public bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw) => RansChunk.TryDecode(encoded, raw, wide: true);

    public bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw, out ulong hash) => RansChunk.TryDecode(encoded, raw, wide: true, out hash);

    private bool TryEncode(ReadOnlySpan<byte> raw, DType elementType, in RansLayout layout, Span<byte> destination, out int written) =>
        RansChunkEncoder.TryEncode(raw, layout, level, destination, out written)
        || (layout.TopBits > 8 && RansChunkEncoder.TryEncode(raw, layout with { RestBits = (8 * layout.Width) - 8 }, level, destination, out written));

    /// <summary>The symbol is the exponent, or exponent and upper bits of the mantissa. Null for types without.</summary>
    private static RansLayout? Exponent(DType elementType, int mantissaBits)
    {
        (int width, int exponent) = ElementPlanes.Of(elementType);
        if (width == 0 || (exponent == 0 && mantissaBits > 0))
        {
            return null;
        }

        int top = exponent == 0 ? 8 : exponent + mantissaBits;
        return new RansLayout { Width = width, Moved = exponent == 0 ? 0 : top, RestBits = (8 * width) - top };
    }
}
