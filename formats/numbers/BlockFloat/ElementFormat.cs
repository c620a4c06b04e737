namespace ModelPack.Numbers;

/// <summary>
/// What the codes of a block mean before the scale: a binary float of at most 8 bits with any split into sign, exponent and significand, or the 8-bit fixed-point
/// integers of MXINT8. Encoding here is exact double arithmetic, one value at a time: the oracle for the vector kernels.
/// </summary>
internal sealed class ElementFormat
{
    /// <summary>Magnitude half way between that of a code and that of the next, exact; for <see cref="Nearest"/>.</summary>
    private readonly double[] _ties;

    private ElementFormat(int exponentBits, int mantissaBits, bool signed, int bias, FloatSpecials specials, bool isInteger)
    {
        ExponentBits = exponentBits;
        MantissaBits = mantissaBits;
        Signed = signed;
        Bias = bias;
        Specials = specials;
        IsInteger = isInteger;
        int all = (1 << (exponentBits + mantissaBits)) - 1;
        MaxCode = specials switch
        {
            FloatSpecials.Fn => all - 1,
            FloatSpecials.Ieee => (((1 << exponentBits) - 1) << mantissaBits) - 1,
            _ => all,
        };
        NanCode = specials switch
        {
            FloatSpecials.Fn => all,
            FloatSpecials.Ieee => (MaxCode + 1) | (1 << (mantissaBits - 1)),
            FloatSpecials.Fnuz => all + 1,
            _ => -1,
        };
        Max = (float)Magnitude(MaxCode);
        Emax = Math.ILogB(Max);
        Values = [.. Enumerable.Range(0, 1 << Bits).Select(Decode)];
        _ties = isInteger ? [] : [.. Enumerable.Range(0, MaxCode).Select(code => (Magnitude(code) + Magnitude(code + 1)) / 2)];
    }

    /// <summary>OCP E4M3.</summary>
    public static ElementFormat E4M3 { get; } = Float(4, 3, signed: true, 7, FloatSpecials.Fn);

    /// <summary>OCP E5M2.</summary>
    public static ElementFormat E5M2 { get; } = Float(5, 2, signed: true, 15, FloatSpecials.Ieee);

    /// <summary>OCP E3M2.</summary>
    public static ElementFormat E3M2 { get; } = Float(3, 2, signed: true, 3, FloatSpecials.None);

    /// <summary>OCP E2M3.</summary>
    public static ElementFormat E2M3 { get; } = Float(2, 3, signed: true, 1, FloatSpecials.None);

    /// <summary>OCP E2M1.</summary>
    public static ElementFormat E2M1 { get; } = Float(2, 1, signed: true, 1, FloatSpecials.None);

    /// <summary>Two's complement multiples of 2^-6 from -127/64 to 127/64; a decoder takes -128 as -2.</summary>
    public static ElementFormat Int8 { get; } = new(0, 7, signed: true, 0, FloatSpecials.None, isInteger: true);

    public int ExponentBits { get; }

    /// <summary>Explicit significand bits.</summary>
    public int MantissaBits { get; }

    public bool Signed { get; }

    /// <summary>Exponent bias; the least normal magnitude is 2^(1-bias).</summary>
    public int Bias { get; }

    public FloatSpecials Specials { get; }

    /// <summary>True for <see cref="Int8"/>.</summary>
    public bool IsInteger { get; }

    /// <summary>Width of a code.</summary>
    public int Bits => ExponentBits + MantissaBits + (Signed ? 1 : 0);

    /// <summary>Code of the largest finite magnitude, without sign.</summary>
    public int MaxCode { get; }

    /// <summary>Code without sign that encoders give to NaN (FNUZ: with sign); -1 when there is none.</summary>
    public int NanCode { get; }

    /// <summary>The largest finite magnitude.</summary>
    public float Max { get; }

    /// <summary>Exponent of the largest power of two.</summary>
    public int Emax { get; }

    /// <summary>Bits of a significand after the leading one, for <see cref="ScaleMode.Even"/>.</summary>
    public int Precision => IsInteger ? 6 : MantissaBits;

    /// <summary>All values by code.</summary>
    public float[] Values { get; }

    /// <param name="exponentBits">0 to 7; 0 gives fixed-point numbers.</param>
    /// <param name="mantissaBits">Explicit significand bits.</param>
    /// <param name="signed">With a sign bit.</param>
    /// <param name="bias">Exponent bias.</param>
    /// <param name="specials">Codes that are no numbers.</param>
    public static ElementFormat Float(int exponentBits, int mantissaBits, bool signed, int bias, FloatSpecials specials) =>
        new(exponentBits, mantissaBits, signed, bias, specials, isInteger: false);

    /// <summary>Nearest element, ties to the even code, saturating; the sign of zero is kept where the format has one. NaN needs a NaN code.</summary>
    public int Encode(double value)
    {
        if (IsInteger)
        {
            return (int)Math.Round(Math.Clamp(value * 64, -127, 127)) & 0xFF;
        }

        int sign = Signed && double.IsNegative(value) ? 1 << (Bits - 1) : 0;
        if (double.IsNaN(value))
        {
            return NanCode | sign;
        }

        double magnitude = Math.Min(Math.Abs(value), Max);
        int least = 1 - Bias;
        int exponent = magnitude == 0 ? least : Math.Max(Math.ILogB(magnitude), least);

        // In units of the last place; the code counts these units from zero on, binade after binade.
        double units = Math.ScaleB(magnitude, MantissaBits - exponent);
        double floor = Math.Floor(units);
        int code = (int)floor + ((exponent - least) << MantissaBits);
        double rest = units - floor;
        code += rest > 0.5 || (rest == 0.5 && (code & 1) != 0) ? 1 : 0;
        return code == 0 && Specials == FloatSpecials.Fnuz ? 0 : code | sign;
    }

    /// <summary>As <see cref="Encode"/> for numbers, by a search among the values half way between two codes: several times faster.</summary>
    public int Nearest(double value)
    {
        if (IsInteger)
        {
            return Encode(value);
        }

        double magnitude = Math.Abs(value);
        int code = 0;
        int end = _ties.Length;
        while (code < end)
        {
            int middle = (code + end) >> 1;
            bool above = magnitude > _ties[middle] || (magnitude == _ties[middle] && (middle & 1) != 0);
            code = above ? middle + 1 : code;
            end = above ? end : middle;
        }

        bool negative = Signed && double.IsNegative(value) && !(code == 0 && Specials == FloatSpecials.Fnuz);
        return negative ? code | (1 << (Bits - 1)) : code;
    }

    private float Decode(int code)
    {
        if (IsInteger)
        {
            return (sbyte)code / 64f;
        }

        int magnitude = code & ((1 << (ExponentBits + MantissaBits)) - 1);
        if (Specials == FloatSpecials.Fnuz && magnitude == 0 && code != 0)
        {
            return float.NaN;
        }

        float value = magnitude <= MaxCode ? (float)Magnitude(magnitude)
            : Specials == FloatSpecials.Ieee && magnitude == MaxCode + 1 ? float.PositiveInfinity
            : float.NaN;
        return code == magnitude ? value : -value;
    }

    private double Magnitude(int code)
    {
        if (IsInteger)
        {
            return code / 64.0;
        }

        int exponent = code >> MantissaBits;
        int significand = code & ((1 << MantissaBits) - 1);
        return exponent == 0
            ? Math.ScaleB(significand, 1 - Bias - MantissaBits)
            : Math.ScaleB(significand + (1 << MantissaBits), exponent - Bias - MantissaBits);
    }
}
