namespace ModelPack.Passes;

/// <summary>What a convolution loses at most when only some of its outputs and inputs are left (HOSVD: the sum of what both cut off), as a share of all.</summary>
/// <param name="outputs">Shares of the combinations of outputs, descending.</param>
/// <param name="inputs">Shares of the combinations of inputs, descending.</param>
internal sealed class ConvolutionBound(double[] outputs, double[] inputs)
{
    private readonly double[] _outputs = Left(outputs);
    private readonly double[] _inputs = Left(inputs);

    /// <summary>The bound.</summary>
    public double Loss(int outer, int inner) => Math.Min(1, _outputs[Math.Min(outer, _outputs.Length - 1)] + _inputs[Math.Min(inner, _inputs.Length - 1)]);

    /// <summary>The outputs and inputs of least bound within a number of parameters.</summary>
    public (int Outer, int Inner) Best(RankShape tucker, long parameters)
    {
        (int Outer, int Inner) best = (1, 1);
        double least = double.MaxValue;
        for (int outer = 1; outer <= tucker.MostOuter; outer++)
        {
            int inner = tucker.MostInputs(parameters, outer);
            if (inner > 0 && Loss(outer, inner) is double loss && loss < least)
            {
                (best, least) = ((outer, inner), loss);
            }
        }

        return best;
    }

    /// <summary>Sums of what comes after each.</summary>
    private static double[] Left(double[] shares)
    {
        double[] left = new double[shares.Length + 1];
        for (int i = shares.Length - 1; i >= 0; i--)
        {
            left[i] = left[i + 1] + shares[i];
        }

        return left;
    }
}
