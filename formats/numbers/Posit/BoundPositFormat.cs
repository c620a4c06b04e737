using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>A posit format on a shape.</summary>
internal sealed class BoundPositFormat(UnitSpec spec, Shape shape, int bits, int es, SimdTier tier)
    : BoundRowFormat(spec, shape, new StreamLayout("codes", shape.Columns * (bits / 8), bits == 8 ? DType.U8 : DType.U16))
{
    private static readonly ByteTable[] Tables =
        [.. Enumerable.Range(0, 3).Select(es => new ByteTable([.. Enumerable.Range(0, 256).Select(code => PositReference.Decode(code, 8, es))]))];

    protected override void EncodeTile(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        Span<byte> codes = streams[0].Span;
        switch (tier)
        {
            case SimdTier.Vector512:
                Encode<Lanes512>(values, codes);
                break;
            case SimdTier.Vector256:
                Encode<Lanes256>(values, codes);
                break;
            case SimdTier.Vector128:
                Encode<Lanes128>(values, codes);
                break;
            default:
                EncodeScalar(values, codes);
                break;
        }
    }

    protected override void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
    {
        ReadOnlySpan<byte> codes = streams[0].Span;
        if (bits == 8)
        {
            Tables[es].Decode(codes, values, tier);
            return;
        }

        ReadOnlySpan<ushort> words = MemoryMarshal.Cast<byte, ushort>(codes);
        switch (tier)
        {
            case SimdTier.Vector512:
                PositKernel<Lanes512>.DecodeWords(words, es, values);
                break;
            case SimdTier.Vector256:
                PositKernel<Lanes256>.DecodeWords(words, es, values);
                break;
            case SimdTier.Vector128:
                PositKernel<Lanes128>.DecodeWords(words, es, values);
                break;
            default:
                for (int i = 0; i < words.Length; i++)
                {
                    values[i] = PositReference.Decode(words[i], 16, es);
                }

                break;
        }
    }

    protected override void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, DType dtype, Span<byte> values)
    {
        if (bits == 8)
        {
            Tables[es].DecodeNarrow(streams[0].Span, dtype, MemoryMarshal.Cast<byte, ushort>(values), tier);
        }
        else
        {
            base.DecodeTile(streams, rows, dtype, values);
        }
    }

    private void Encode<TLanes>(ReadOnlySpan<float> values, Span<byte> codes)
        where TLanes : struct, ILanes16<TLanes>
    {
        if (bits == 8)
        {
            PositKernel<TLanes>.EncodeToBytes(values, es, codes);
        }
        else
        {
            PositKernel<TLanes>.EncodeToWords(values, es, MemoryMarshal.Cast<byte, ushort>(codes));
        }
    }

    private void EncodeScalar(ReadOnlySpan<float> values, Span<byte> codes)
    {
        for (int i = 0; i < values.Length; i++)
        {
            int code = PositReference.Encode(values[i], bits, es);
            if (bits == 8)
            {
                codes[i] = (byte)code;
            }
            else
            {
                MemoryMarshal.Cast<byte, ushort>(codes)[i] = (ushort)code;
            }
        }
    }
}
