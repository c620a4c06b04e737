namespace ModelPack;

/// <summary>The natural logarithm out of IEEE operations alone: the same bits on every platform, which those of platform libraries are not.</summary>
public static class DeterministicLog
{
    private const double Ln2 = 0.69314718055994530942;

    /// <summary>ln(x) of a positive normal number, within 1e-12.</summary>
    public static double Of(double x)
    {
        // x = m 2^e with m in [sqrt(1/2), sqrt(2)); ln m = 2 atanh(t), t = (m - 1) / (m + 1), |t| < 0.172.
        long bits = BitConverter.DoubleToInt64Bits(x);
        int exponent = (int)((bits >> 52) & 0x7FF) - 1023;
        double m = BitConverter.Int64BitsToDouble((bits & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000);
        if (m > 1.4142135623730951)
        {
            m /= 2;
            exponent++;
        }

        double t = (m - 1) / (m + 1);
        double square = t * t;
        double sum = 0;
        for (int k = 15; k >= 1; k -= 2)
        {
            sum = (sum * square) + (1.0 / k);
        }

        return (2 * t * sum) + (exponent * Ln2);
    }
}
