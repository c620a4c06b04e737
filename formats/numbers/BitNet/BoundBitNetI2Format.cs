using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>I2_S on a shape. Byte p of a block holds values p, 32 + p, 64 + p and 96 + p, the first in the top bits.</summary>
internal sealed class BoundBitNetI2Format(UnitSpec spec, Shape shape, long rowBytes, bool mean, float? scale, SimdTier tier)
    : BoundRowFormat(spec, shape, new StreamLayout("codes", rowBytes, DType.U8))
{
    protected override void EncodeTile(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        float gamma = BitNetFormat.ForEncoding(Spec, scale);
        if (FiniteCheck.FirstNotFinite(values) >= 0)
        {
            throw NotFinite(values);
        }

        TernaryScale rule = TernaryScale.Of(mean, gamma);
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<float> row = values.Slice(r * Columns, Columns);
            Span<byte> codes = streams[0].Span.Slice(r * RowBytes(0), RowBytes(0));
            int done = tier switch
            {
                SimdTier.Vector512 => Encode<Lanes512>(row, rule, codes),
                SimdTier.Vector256 => Encode<Lanes256>(row, rule, codes),
                SimdTier.Vector128 => Encode<Lanes128>(row, rule, codes),
                _ => 0,
            };
            codes[(done / 4)..].Clear();
            for (int i = done; i < codes.Length * 4; i++)
            {
                int code = i < row.Length ? rule.Trit(row[i]) + 1 : 1;
                codes[(i / 128 * 32) + (i % 32)] |= (byte)(code << (6 - (i % 128 / 32 * 2)));
            }
        }
    }

    protected override void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
    {
        float gamma = BitNetFormat.ForDecoding(Spec, scale);
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<byte> codes = streams[0].Span.Slice(r * RowBytes(0), RowBytes(0));
            Span<float> row = values.Slice(r * Columns, Columns);
            int done = tier switch
            {
                SimdTier.Vector512 => Decode<Lanes512>(codes, gamma, row),
                SimdTier.Vector256 => Decode<Lanes256>(codes, gamma, row),
                SimdTier.Vector128 => Decode<Lanes128>(codes, gamma, row),
                _ => 0,
            };
            for (int i = done; i < row.Length; i++)
            {
                row[i] = (((codes[(i / 128 * 32) + (i % 32)] >> (6 - (i % 128 / 32 * 2))) & 3) - 1) * gamma;
            }
        }
    }

    private static int Encode<TLanes>(ReadOnlySpan<float> row, TernaryScale rule, Span<byte> codes)
        where TLanes : struct, ILanes16<TLanes>
    {
        var map = new TernaryMap<TLanes>(rule);
        ref float x = ref MemoryMarshal.GetReference(row);
        ref byte to = ref MemoryMarshal.GetReference(codes);
        int first = 0;
        for (; first + 128 <= row.Length; first += 128)
        {
            for (int half = 0; half < 32; half += 16)
            {
                ref float group = ref Unsafe.Add(ref x, first + half);
                Vector128<byte> packed = (map.Codes(ref group) << 6) | (map.Codes(ref Unsafe.Add(ref group, 32)) << 4);
                packed |= (map.Codes(ref Unsafe.Add(ref group, 64)) << 2) | map.Codes(ref Unsafe.Add(ref group, 96));
                packed.StoreUnsafe(ref to, (nuint)((first / 4) + half));
            }
        }

        return first;
    }

    private static int Decode<TLanes>(ReadOnlySpan<byte> codes, float gamma, Span<float> row)
        where TLanes : struct, ILanes16<TLanes>
    {
        TLanes value = TLanes.Create(gamma);
        TLanes one = TLanes.CreateInt(1);
        Vector128<byte> mask = Vector128.Create((byte)3);
        ref float to = ref MemoryMarshal.GetReference(row);
        int first = 0;
        for (; first + 128 <= row.Length; first += 128)
        {
            for (int half = 0; half < 32; half += 16)
            {
                Vector128<byte> packed = Vector128.Create<byte>(codes.Slice((first / 4) + half, 16));
                for (int k = 0; k < 4; k++)
                {
                    TLanes code = TLanes.FromBytes((packed >>> 6) & mask);
                    TLanes.Store(TLanes.Multiply(TLanes.IntToFloat(TLanes.SubtractInt(code, one)), value), ref Unsafe.Add(ref to, first + (32 * k) + half));
                    packed <<= 2;
                }
            }
        }

        return first;
    }
}
