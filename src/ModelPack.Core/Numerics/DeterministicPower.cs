namespace ModelPack;

/// <summary>Powers out of IEEE operations alone: the same bits on every platform, which those of platform libraries are not.</summary>
public static class DeterministicPower
{
    private const double Ln2 = 0.69314718055994530942;

    /// <summary>x^exponent of a positive normal number, within 1e-11 relative; 0 or infinity where the result is no normal number.</summary>
    public static double Of(double x, double exponent)
    {
        // e^y = 2^n e^r with n the integer nearest to y / ln 2 and |r| < 0.35: fifteen terms of the series reach the last bit.
        double y = DeterministicLog.Of(x) * exponent;
        if (Math.Abs(y) > 700)
        {
            return y < 0 ? 0 : double.PositiveInfinity;
        }

        double n = Math.Round(y / Ln2);
        double r = y - (n * Ln2);
        double sum = 1;
        for (int k = 15; k >= 1; k--)
        {
            sum = 1 + (sum * r / k);
        }

        return sum * BitConverter.Int64BitsToDouble(((long)n + 1023) << 52);
    }
}
