using ModelPack.Compiler.Calibration;
using ModelPack.Compiler.Linear;

namespace ModelPack.Passes;

/// <summary>
/// GPTQ: columns are rounded one after the other, each after what the errors of those before it did to the output was made up for as well as it can be. Scales are fixed beforehand (static groups), so columns may
/// come in the order of their activations and blocks stay where they are.
/// </summary>
/// <remarks>See <see cref="FeedbackFactor"/> for the formula. Errors reach the columns of the same block of <see cref="Lazy"/> columns one by one, all others block by block.</remarks>
internal sealed class Gptq : IWeightAlgorithm
{
    /// <summary>Columns whose errors are passed on together.</summary>
    public const int Lazy = 128;

    public string Name => "gptq";

    public bool NeedsSecondMoments => true;

    public IPreparedAlgorithm Prepare(ActivationStatistics? statistics, AlgorithmOptions options, int threads, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(statistics);
        return new Prepared(FeedbackFactor.Create(statistics, options.ActivationOrder, options.Damping, threads, cancellation), MomentMatrix.Importance(statistics), MomentMatrix.Drift(statistics));
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

    private sealed class Prepared(FeedbackFactor factor, float[] importance, NativeArray<float>? drift) : IPreparedAlgorithm
    {
        public ReadOnlySpan<float> Importance => importance;

        public bool Adjusts => drift is not null;

        public void Adjust(WeightTile tile) => DriftCorrection.Run(tile, factor, drift!);

        public void ChooseCodes(WeightTile tile, Span<byte> codes, Span<double> losses)
        {
            int size = factor.Size;
            int rows = tile.Rows;
            using var errors = new NativeArray<float>((long)size * rows);
            using var feedback = new NativeArray<float>((long)size * rows);
            byte[] column = new byte[rows];
            float[] rounded = new float[rows];
            losses.Clear();
            for (int end = size; end > 0; end -= Math.Min(Lazy, end))
            {
                int start = Math.Max(0, end - Lazy);
                for (int p = end - 1; p >= start; p--)
                {
                    Span<float> target = feedback.Slice((long)p * rows, rows);
                    SumOfProducts.Run(factor.Rows(p, 1)[(p + 1)..], 1, 1, errors.Slice((long)(p + 1) * rows, (end - 1 - p) * rows), rows, target, rows, end - 1 - p, 1, rows, subtract: false);
                    int at = factor.Order[p];
                    ReadOnlySpan<float> weights = tile.Column(at);
                    for (int r = 0; r < target.Length; r++)
                    {
                        target[r] += weights[r];
                    }

                    tile.Round(at, target, column, rounded);
                    Span<float> error = errors.Slice((long)p * rows, rows);
                    double pivot = factor.Pivots[p];
                    for (int r = 0; r < column.Length; r++)
                    {
                        error[r] = weights[r] - rounded[r];
                        double missed = (double)target[r] - rounded[r];
                        losses[r] += missed * missed * pivot;
                        codes[(r * size) + at] = column[r];
                    }
                }

                if (start > 0)
                {
                    ReadOnlySpan<float> coefficients = factor.Rows(0, start)[start..];
                    SumOfProducts.Run(coefficients, 1, size, errors.Slice((long)start * rows, (end - start) * rows), rows, feedback.Slice(0, start * rows), rows, end - start, start, rows, subtract: false);
                }
            }
        }

        public void Dispose()
        {
            factor.Dispose();
            drift?.Dispose();
        }
    }
}
