using ModelPack.Compiler.Linear;

namespace ModelPack.Passes;

/// <summary>
/// Rounds columns one after the other, each with what the errors of those before it ask of it added: target = w + sum of coefficient * error, error = w - rounded. Errors reach the columns of the same block of
/// <see cref="Lazy"/> columns one by one, all others block by block.
/// </summary>
/// <param name="factor">Order and coefficients.</param>
/// <param name="importance">[K] for the search of scales.</param>
/// <param name="drift">What the inputs differ from those of the float model, [K, K] f32, or null; stays the caller's.</param>
internal sealed class ErrorFeedback(FeedbackFactor factor, float[] importance, TensorData? drift) : IPreparedAlgorithm
{
    /// <summary>Columns whose errors are passed on together.</summary>
    public const int Lazy = 128;

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
                    double passed = factor.IsTriangular ? 0 : (double)target[r] - weights[r];
                    losses[r] += ((missed * missed) - (passed * passed)) * pivot;
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

    public void Dispose() => factor.Dispose();
}
