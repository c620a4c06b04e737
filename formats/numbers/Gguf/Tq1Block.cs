using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>TQ1_0: 256 ternary values, five trits per byte in 48 bytes, four per byte in 4, f16 d at the end.</summary>
internal readonly struct Tq1Block : IGgufBlock
{
    public static int Values => 256;

    public static int Bytes => 54;

    public static bool EncodeReference(ReadOnlySpan<float> values, Span<byte> block)
    {
        float d = Math.Abs(GgufHalf.Largest(values));
        float inverse = d != 0 ? 1f / d : 0f;
        for (int m = 0; m < 52; m++)
        {
            int packed = 0;
            for (int k = 0; k < 5; k++)
            {
                int index = Index(m, k);
                packed = (packed * 3) + (index < 0 ? 0 : Trit(values[index], inverse));
            }

            block[m] = Trits.Fractions[packed];
        }

        return GgufHalf.TryWrite(block[52..], d);
    }

    public static bool Encode<TLanes>(ReadOnlySpan<float> values, Span<byte> blocks)
        where TLanes : struct, ILanes16<TLanes>
    {
        float d = GgufLanes<TLanes>.Largest(values);
        if (d < GgufLanes<TLanes>.LeastNormalBlock)
        {
            return EncodeReference(values, blocks);
        }

        float reciprocal = 1f / d;
        TLanes inverse = TLanes.Create(reciprocal);
        ref float x = ref MemoryMarshal.GetReference(values[..256]);
        Span<byte> packed = stackalloc byte[64];
        for (int part = 0; part < 3; part++)
        {
            // By Horner's rule in bytes, first trit first.
            ref float first = ref Unsafe.Add(ref x, part == 2 ? 160 : 16 * part);
            int step = part == 2 ? 16 : 32;
            Vector128<byte> sum = default;
            for (int k = 0; k < 5; k++)
            {
                sum = sum + sum + sum + TLanes.LowBytes(GgufLanes<TLanes>.TritCodes(TLanes.Multiply(TLanes.Load(in Unsafe.Add(ref first, k * step)), inverse)));
            }

            sum.CopyTo(packed[(16 * part)..]);
        }

        // The last 16 values: four bytes of four, the fifth trit 0.
        TLanes.LowBytes(GgufLanes<TLanes>.TritCodes(TLanes.Multiply(TLanes.Load(in Unsafe.Add(ref x, 240)), inverse))).CopyTo(packed[48..]);
        for (int j = 48; j < 52; j++)
        {
            packed[j] = (byte)((81 * packed[j]) + (27 * packed[j + 4]) + (9 * packed[j + 8]) + (3 * packed[j + 12]));
        }

        ReadOnlySpan<byte> fractions = Trits.Fractions;
        for (int m = 0; m < 52; m++)
        {
            blocks[m] = fractions[packed[m]];
        }

        return GgufHalf.TryWrite(blocks[52..], d);
    }

    public static void DecodeReference(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = GgufHalf.Read(block[52..]);
        for (int m = 0; m < 52; m++)
        {
            for (int k = 0; k < 5; k++)
            {
                if (Index(m, k) is int index and >= 0)
                {
                    values[index] = (Trits.Get(block[m], k) - 1) * d;
                }
            }
        }
    }

    public static void Decode<TLanes>(ReadOnlySpan<byte> block, Span<float> values)
        where TLanes : struct, ILanes16<TLanes>
    {
        float scale = GgufHalf.Read(block[52..]);
        TLanes d = TLanes.Create(scale);
        TLanes one = TLanes.CreateInt(1);
        ref float to = ref MemoryMarshal.GetReference(values);
        for (int part = 0; part < 3; part++)
        {
            Vector128<byte> fractions = Vector128.Create<byte>(block.Slice(16 * part, 16));
            ref float first = ref Unsafe.Add(ref to, part == 2 ? 160 : 16 * part);
            int step = part == 2 ? 16 : 32;
            for (int k = 0; k < 5; k++)
            {
                TLanes trits = TLanes.FromBytes(Trits.Leading(fractions));
                TLanes.Store(TLanes.Multiply(TLanes.IntToFloat(TLanes.SubtractInt(trits, one)), d), ref Unsafe.Add(ref first, k * step));
                fractions = Trits.Next(fractions);
            }
        }

        for (int j = 0; j < 4; j++)
        {
            for (int k = 0; k < 4; k++)
            {
                values[240 + j + (4 * k)] = (Trits.Get(block[48 + j], k) - 1) * scale;
            }
        }
    }

    /// <summary>Which value trit k of byte m is; -1 for none.</summary>
    private static int Index(int m, int k) =>
        m < 32 ? m + (32 * k)
        : m < 48 ? 160 + (m - 32) + (16 * k)
        : k < 4 ? 240 + (m - 48) + (4 * k)
        : -1;

    internal static int Trit(float value, float inverse)
    {
        // Ties away from zero; a subnormal scale has an infinite reciprocal.
        float q = MathF.Round(value * inverse, MidpointRounding.AwayFromZero);
        return float.IsNaN(q) ? 1 : (int)Math.Clamp(q, -1, 1) + 1;
    }
}
