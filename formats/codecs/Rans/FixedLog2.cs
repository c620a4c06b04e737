using System.Numerics;
using System.Runtime.CompilerServices;

namespace ModelPack.Codecs;

/// <summary>Logarithms in fixed point, by integers alone: they decide bytes.</summary>
public static class FixedLog2
{
    /// <summary>Fraction bits of every result.</summary>
    public const int FractionBits = 16;

    /// <summary>One bit.</summary>
    public const uint One = 1u << FractionBits;

    // log2 of 256/256 to 512/256, and one more to interpolate to.
    private static readonly uint[] Table = Build();

    /// <summary>log2 of <paramref name="x"/>, which must not be 0; off by less than 2^-16 + 2^-18.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Of(uint x)
    {
        int exponent = BitOperations.Log2(x);
        ulong mantissa = (ulong)x << (31 - exponent);
        var index = (int)((mantissa >> 23) & 0xff);
        var fraction = (uint)(mantissa & 0x7f_ffff);
        uint low = Table[index];
        uint step = Table[index + 1] - low;
        return ((uint)exponent << FractionBits) + low + (uint)(((ulong)step * fraction) >> 23);
    }

    private static uint[] Build()
    {
        // Squaring doubles a logarithm: each time the square reaches 2 the next bit is 1. 31 bits of fraction are kept, so the 16 bits are right but for the last.
        uint[] table = new uint[257];
        for (int i = 0; i < 256; i++)
        {
            ulong m = (256UL + (uint)i) << 22;
            uint log = 0;
            for (int bit = 0; bit < FractionBits; bit++)
            {
                m = (m * m) >> 30;
                log <<= 1;
                if (m >= 2UL << 30)
                {
                    m >>= 1;
                    log |= 1;
                }
            }

            table[i] = log;
        }

        table[256] = One;
        return table;
    }
}
