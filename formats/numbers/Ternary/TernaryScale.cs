namespace ModelPack.Numbers;

/// <summary>How values become trits and back.</summary>
/// <param name="Factor">What values are multiplied with, or divided by, before rounding to -1, 0 or 1.</param>
/// <param name="Divides">True to divide.</param>
/// <param name="Value">The magnitude that trits stand for.</param>
internal readonly record struct TernaryScale(float Factor, bool Divides, float Value)
{
    private const float Least = 1e-5f;

    /// <param name="mean">True for the absmean rule of BitNet b1.58, false for the largest magnitude.</param>
    /// <param name="gamma">The mean or the largest magnitude.</param>
    public static TernaryScale Of(bool mean, float gamma)
    {
        if (mean)
        {
            float scale = 1f / Math.Max(gamma, Least);
            return new(scale, false, 1f / scale);
        }

        return new(gamma > 0 ? gamma : 1f, true, gamma);
    }

    /// <summary>-1, 0 or 1; ties to even, that is to 0.</summary>
    public int Trit(float value)
    {
        float quotient = Divides ? value / Factor : value * Factor;
        return (int)MathF.Round(Math.Min(Math.Max(quotient, -1), 1));
    }
}
