using System.Numerics;

namespace ModelPack.Codecs;

/// <summary>Wire id 1: one short pattern repeated. See SPEC.md in this folder.</summary>
internal sealed class ConstantCodec : ICodec
{
    private const int MaxPatternBytes = 64;

    public string Id => "constant";

    public byte WireId => 1;

    public string Summary => "one value, or a pattern of up to 64 bytes, repeated";

    public bool TryEncode(ReadOnlySpan<byte> raw, DType elementType, Span<byte> destination, out int written)
    {
        written = 0;
        int period = ConstantKernel.FindPeriod(raw, MaxPatternBytes);
        if (period == 0 || period > destination.Length)
        {
            return false;
        }

        raw[..period].CopyTo(destination);
        written = period;
        return true;
    }

    public bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw)
    {
        if (encoded.Length is 0 or > MaxPatternBytes || encoded.Length >= raw.Length || !BitOperations.IsPow2(encoded.Length))
        {
            return false;
        }

        ConstantKernel.Fill(encoded, raw);
        return true;
    }
}
