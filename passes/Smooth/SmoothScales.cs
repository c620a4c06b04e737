namespace ModelPack.Passes;

/// <summary>Formulas for the factors of a value.</summary>
internal static class SmoothScales
{
    /// <summary>Factors stay within these bounds: products with them are as exact as any, and no channel disappears.</summary>
    public const double Least = 1.0 / 1024;
    public const double Most = 1024;

    /// <summary>a^alpha / w^beta, divided by the geometric mean of the largest and the smallest; 1 where a or w is 0 or not finite.</summary>
    /// <param name="activations">Sizes of the activations of each factor.</param>
    /// <param name="alpha">Their exponent.</param>
    /// <param name="weights">Sizes of the weights of each factor.</param>
    /// <param name="beta">Their exponent; 0: weights do not count.</param>
    public static double[] Of(double[] activations, double alpha, double[] weights, double beta)
    {
        double[] scales = new double[activations.Length];
        double least = double.PositiveInfinity;
        double most = 0;
        for (int i = 0; i < scales.Length; i++)
        {
            if (Usable(activations[i]) && Usable(weights[i]))
            {
                scales[i] = DeterministicPower.Of(activations[i], alpha) / (beta == 0 ? 1 : DeterministicPower.Of(weights[i], beta));
                least = Math.Min(least, scales[i]);
                most = Math.Max(most, scales[i]);
            }
        }

        double middle = most > 0 ? Math.Sqrt(least * most) : 1;
        for (int i = 0; i < scales.Length; i++)
        {
            scales[i] = scales[i] > 0 ? Math.Clamp(scales[i] / middle, Least, Most) : 1;
        }

        return scales;
    }

    /// <summary>True for sizes that powers can be taken of.</summary>
    public static bool Usable(double size) => size > 1e-30 && size < 1e30;
}
