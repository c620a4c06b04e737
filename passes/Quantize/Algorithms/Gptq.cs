using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>
/// GPTQ: columns are rounded one after the other, each after what the errors of those before it did to the output was made up for as well as it can be. Scales are fixed beforehand (static groups), so columns may
/// come in the order of their activations and blocks stay where they are.
/// </summary>
/// <remarks>See <see cref="FeedbackFactor"/> for the formula. <see cref="ErrorFeedback"/> does the work.</remarks>
internal sealed class Gptq : IWeightAlgorithm
{
    public string Name => "gptq";

    public bool NeedsSecondMoments => true;

    public IPreparedAlgorithm Prepare(ActivationStatistics? statistics, AlgorithmOptions options, int threads, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(statistics);
        return new ErrorFeedback(FeedbackFactor.Create(statistics, options.ActivationOrder, options.Damping, threads, cancellation), MomentMatrix.Importance(statistics), statistics.Drift);
    }

    /// <summary>The definition, for tests: one row, all arithmetic in f64, errors passed on at once.</summary>
    /// <param name="weights">[K].</param>
    /// <param name="factor">The factorisation.</param>
    /// <param name="round">Column and value to quantised value.</param>
    /// <returns>[K] quantised weights.</returns>
    internal static double[] Reference(ReadOnlySpan<float> weights, FeedbackFactor factor, Func<int, double, double> round)
    {
        int size = factor.Size;
        double[] errors = new double[size];
        double[] quantized = new double[size];
        for (int p = size - 1; p >= 0; p--)
        {
            int column = factor.Order[p];
            double target = weights[column];
            for (int q = p + 1; q < size; q++)
            {
                target += factor.Rows(p, 1)[q] * errors[q];
            }

            quantized[column] = round(column, target);
            errors[p] = weights[column] - quantized[column];
        }

        return quantized;
    }
}
