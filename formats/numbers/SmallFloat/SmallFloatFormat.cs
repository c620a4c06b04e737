namespace ModelPack.Numbers;

/// <summary>
/// A binary floating-point format of at most 16 bits with a sign: what its codes mean and where they end (SPEC.md, section 2).
/// </summary>
/// <param name="Bits">Width of a code.</param>
/// <param name="MantissaBits">Explicit significand bits m.</param>
/// <param name="Bias">Exponent bias.</param>
/// <param name="MaxCode">Code of the largest finite magnitude, without sign.</param>
/// <param name="OverflowCode">Code, without sign, of magnitudes that round beyond the largest: that code itself when saturating, else infinity or NaN.</param>
/// <param name="NanCode">Code, without sign, given to NaN; -1 when the format has none.</param>
/// <param name="HasNegativeZero">False for FNUZ formats, where the code of -0 is NaN.</param>
public readonly record struct SmallFloatFormat(int Bits, int MantissaBits, int Bias, int MaxCode, int OverflowCode, int NanCode, bool HasNegativeZero)
{
    /// <summary>OCP E4M3, saturating.</summary>
    public static SmallFloatFormat E4M3Fn => new(8, 3, 7, 0x7E, 0x7E, 0x7F, true);

    /// <summary>E4M3 without negative zero, bias 8, saturating.</summary>
    public static SmallFloatFormat E4M3Fnuz => new(8, 3, 8, 0x7F, 0x7F, 0x80, false);

    /// <summary>OCP E5M2, saturating (infinities become the largest finite value).</summary>
    public static SmallFloatFormat E5M2 => new(8, 2, 15, 0x7B, 0x7B, 0x7E, true);

    /// <summary>E5M2 without negative zero, bias 16, saturating.</summary>
    public static SmallFloatFormat E5M2Fnuz => new(8, 2, 16, 0x7F, 0x7F, 0x80, false);

    /// <summary>E4M3 with infinities (IEEE style, largest value 240), saturating.</summary>
    public static SmallFloatFormat E4M3Ieee => new(8, 3, 7, 0x77, 0x77, 0x7C, true);

    /// <summary>OCP E3M2: no NaN, no infinity.</summary>
    public static SmallFloatFormat E3M2 => new(6, 2, 3, 0x1F, 0x1F, -1, true);

    /// <summary>OCP E2M3: no NaN, no infinity.</summary>
    public static SmallFloatFormat E2M3 => new(6, 3, 1, 0x1F, 0x1F, -1, true);

    /// <summary>OCP E2M1: no NaN, no infinity.</summary>
    public static SmallFloatFormat E2M1 => new(4, 1, 1, 0x7, 0x7, -1, true);

    /// <summary>IEEE binary16; overflow gives infinity.</summary>
    public static SmallFloatFormat Half => new(16, 10, 15, 0x7BFF, 0x7C00, 0x7E00, true);

    /// <summary>The same format with overflow and infinities going to <paramref name="code"/> (infinity or NaN) instead of saturating.</summary>
    public SmallFloatFormat OverflowingTo(int code) => this with { OverflowCode = code };

    /// <summary>Bits of the smallest normal magnitude, as f32.</summary>
    internal int MinNormalBits => (128 - Bias) << 23;

    /// <summary>The power of two whose f32 quantum equals the format's subnormal quantum.</summary>
    internal int SubnormalMagicBits => (128 - Bias - MantissaBits + 23) << 23;

    /// <summary>What aligns an f32 exponent with this format's, after the shift by 23 - m.</summary>
    internal int Rebias => (127 - Bias) << MantissaBits;
}
