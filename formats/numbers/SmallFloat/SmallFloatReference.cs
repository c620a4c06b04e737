namespace ModelPack.Numbers;

/// <summary>Encoding and decoding of one value: the oracle for the vector kernels, and the definition in code.</summary>
internal static class SmallFloatReference
{
    /// <summary>Rounds once from f32 to nearest even; see <see cref="SmallFloatFormat"/> for what happens at the ends. A NaN needs a NaN code.</summary>
    public static int Encode(float value, in SmallFloatFormat f)
    {
        int bits = BitConverter.SingleToInt32Bits(value);
        int magnitude = bits & 0x7FFFFFFF;
        int code;
        if (magnitude > 0x7F800000)
        {
            code = f.NanCode;
        }
        else if (magnitude < f.MinNormalBits)
        {
            // Adding 2^(q+23), whose own quantum is 2^q, makes the f32 addition do the rounding; the low bits are the code.
            float sum = BitConverter.Int32BitsToSingle(magnitude) + BitConverter.Int32BitsToSingle(f.SubnormalMagicBits);
            code = BitConverter.SingleToInt32Bits(sum) - f.SubnormalMagicBits;
        }
        else
        {
            int shift = 23 - f.MantissaBits;
            int rounded = magnitude + ((1 << (shift - 1)) - 1) + ((magnitude >> shift) & 1);
            code = (int)((uint)rounded >> shift) - f.Rebias;
            code = code > f.MaxCode ? f.OverflowCode : code;
        }

        int sign = (int)((uint)bits >> 31) << (f.Bits - 1);
        return code == 0 && !f.HasNegativeZero ? 0 : code | sign;
    }

    /// <summary>The value of a code without NaN and infinity rules: sign, exponent, significand.</summary>
    public static float DecodeFinite(int code, in SmallFloatFormat f)
    {
        int magnitude = code & ((1 << (f.Bits - 1)) - 1);
        int exponent = magnitude >> f.MantissaBits;
        int significand = magnitude & ((1 << f.MantissaBits) - 1);
        double value = exponent == 0
            ? Math.ScaleB(significand, 1 - f.Bias - f.MantissaBits)
            : Math.ScaleB(significand + (1 << f.MantissaBits), exponent - f.Bias - f.MantissaBits);
        return (float)(code == magnitude ? value : -value);
    }

    /// <summary>All values of a format of at most 8 bits, by code.</summary>
    public static float[] DecodeTable(in SmallFloatFormat f)
    {
        float[] table = new float[1 << f.Bits];
        for (int code = 0; code < table.Length; code++)
        {
            int magnitude = code & (table.Length / 2 - 1);
            bool negative = code != magnitude;
            table[code] =
                !f.HasNegativeZero && code == table.Length / 2 ? float.NaN
                : magnitude <= f.MaxCode ? DecodeFinite(code, f)
                : magnitude == f.MaxCode + 1 && HasInfinity(f) ? (negative ? float.NegativeInfinity : float.PositiveInfinity)
                : float.NaN;
        }

        return table;
    }

    /// <summary>IEEE-like formats keep the whole top exponent for infinity and NaN, so their largest finite code has all significand bits set.</summary>
    private static bool HasInfinity(in SmallFloatFormat f) =>
        f.NanCode > f.MaxCode + 1 && (f.MaxCode & ((1 << f.MantissaBits) - 1)) == (1 << f.MantissaBits) - 1 && f.HasNegativeZero;
}
