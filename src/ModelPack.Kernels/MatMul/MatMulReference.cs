namespace ModelPack.Kernels.MatMul;

/// <summary>The product that kernels are measured against: decoded weights, sums in f64.</summary>
internal static class MatMulReference
{
    /// <param name="x">[rows, k].</param>
    /// <param name="weights">[n, k] decoded.</param>
    /// <param name="y">[rows, n] products.</param>
    /// <param name="magnitudes">[rows, n] sums of magnitudes of what is added: what rounding errors are relative to.</param>
    /// <param name="k">Columns.</param>
    public static void Multiply(ReadOnlySpan<float> x, ReadOnlySpan<float> weights, Span<double> y, Span<double> magnitudes, int k)
    {
        int n = weights.Length / k;
        for (int row = 0; row < x.Length / k; row++)
        {
            for (int output = 0; output < n; output++)
            {
                double sum = 0;
                double magnitude = 0;
                for (int i = 0; i < k; i++)
                {
                    double product = (double)x[(row * k) + i] * weights[(output * k) + i];
                    sum += product;
                    magnitude += Math.Abs(product);
                }

                y[(row * n) + output] = sum;
                magnitudes[(row * n) + output] = magnitude;
            }
        }
    }
}
