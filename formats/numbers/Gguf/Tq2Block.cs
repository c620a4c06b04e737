using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>TQ2_0: 256 ternary values of 2 bits in 64 bytes, f16 d at the end; value 128n + 32k + m is bits 2k of byte 32n + m.</summary>
internal readonly struct Tq2Block : IGgufBlock
{
    public static int Values => 256;

    public static int Bytes => 66;

    public static bool EncodeReference(ReadOnlySpan<float> values, Span<byte> block)
    {
        float d = Math.Abs(GgufHalf.Largest(values));
        float inverse = d != 0 ? 1f / d : 0f;
        for (int i = 0; i < 256; i++)
        {
            block[(i / 128 * 32) + (i % 32)] |= (byte)(Tq1Block.Trit(values[i], inverse) << (i % 128 / 32 * 2));
        }

        return GgufHalf.TryWrite(block[64..], d);
    }

    public static bool Encode<TLanes>(ReadOnlySpan<float> values, Span<byte> blocks)
        where TLanes : struct, ILanes16<TLanes>
    {
        float d = GgufLanes<TLanes>.Largest(values);
        if (d < GgufLanes<TLanes>.LeastNormalBlock)
        {
            return EncodeReference(values, blocks);
        }

        TLanes inverse = TLanes.Create(1f / d);
        ref float x = ref MemoryMarshal.GetReference(values[..256]);
        ref byte to = ref MemoryMarshal.GetReference(blocks[..66]);
        for (int m = 0; m < 64; m += 16)
        {
            ref float first = ref Unsafe.Add(ref x, (m / 32 * 128) + (m % 32));
            TLanes packed = default;
            for (int k = 3; k >= 0; k--)
            {
                TLanes codes = GgufLanes<TLanes>.TritCodes(TLanes.Multiply(TLanes.Load(in Unsafe.Add(ref first, 32 * k)), inverse));
                packed = TLanes.Or(TLanes.ShiftLeft(packed, 2), codes);
            }

            TLanes.LowBytes(packed).StoreUnsafe(ref to, (nuint)m);
        }

        return GgufHalf.TryWrite(blocks[64..], d);
    }

    public static void DecodeReference(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = GgufHalf.Read(block[64..]);
        for (int i = 0; i < 256; i++)
        {
            values[i] = (((block[(i / 128 * 32) + (i % 32)] >> (i % 128 / 32 * 2)) & 3) - 1) * d;
        }
    }

    public static void Decode<TLanes>(ReadOnlySpan<byte> block, Span<float> values)
        where TLanes : struct, ILanes16<TLanes>
    {
        TLanes d = TLanes.Create(GgufHalf.Read(block[64..]));
        TLanes one = TLanes.CreateInt(1);
        Vector128<byte> mask = Vector128.Create((byte)3);
        ref float to = ref MemoryMarshal.GetReference(values);
        for (int m = 0; m < 64; m += 16)
        {
            Vector128<byte> codes = Vector128.Create<byte>(block.Slice(m, 16));
            ref float first = ref Unsafe.Add(ref to, (m / 32 * 128) + (m % 32));
            for (int k = 0; k < 4; k++)
            {
                TLanes.Store(TLanes.Multiply(TLanes.IntToFloat(TLanes.SubtractInt(TLanes.FromBytes(codes & mask), one)), d), ref Unsafe.Add(ref first, 32 * k));
                codes >>>= 2;
            }
        }
    }
}
