using System.Runtime.InteropServices;
using ModelPack.Compiler.Linear;

namespace ModelPack.Passes;

/// <summary>
/// Makes weights follow the float model: inputs X of a layer whose predecessors are compressed are not the inputs F of the float model, and what is wanted is not W X but W F. The best weights for that are
/// W + W D (H + damping)^-1 with D = (F - X)^T X, summed over the calibration data: Asymmetric Calibration of GPTAQ (arXiv 2504.02692), here without any inverse.
/// </summary>
/// <remarks>
/// With H = R R^T as in <see cref="FeedbackFactor"/> the change d of the weights solves d R R^T = W D =: g. That is substitution by the factor's coefficients twice: from the column that is quantised last to the first,
/// y[k] = g[k] - sum of y[j] R[k,j] / R[j,j] over the columns j after k, and back again, d[k] = y[k] / R[k,k]^2 - sum of d[j] R[j,k] / R[k,k] over the columns j before k.
/// </remarks>
internal static class DriftCorrection
{
    /// <summary>Changes the weights.</summary>
    /// <param name="tile">The weights.</param>
    /// <param name="factor">The factorisation.</param>
    /// <param name="drift">D, [K, K] f32; read some rows at a time.</param>
    public static void Run(WeightTile tile, FeedbackFactor factor, TensorData drift)
    {
        int size = factor.Size;
        int rows = tile.Rows;
        using var change = new NativeArray<float>((long)size * rows);
        using (var products = new NativeArray<float>((long)size * rows))
        using (var strip = new NativeArray<float>((long)Math.Min(ErrorFeedback.Lazy, size) * size))
        {
            ReadOnlySpan<float> all = tile.Weights;
            for (int at = 0; at < size; at += ErrorFeedback.Lazy)
            {
                // In pieces of the sum, so that f32 sums stay short.
                int depth = Math.Min(ErrorFeedback.Lazy, size - at);
                Span<float> some = strip.Slice(0, depth * size);
                drift.Read((long)at * size * sizeof(float), MemoryMarshal.AsBytes(some));
                SumOfProducts.Run(some, size, 1, all.Slice(at * rows, depth * rows), rows, products.Slice(0, size * rows), rows, depth, size, rows, subtract: false);
            }

            for (int p = 0; p < size; p++)
            {
                products.Slice((long)factor.Order[p] * rows, rows).CopyTo(change.Slice((long)p * rows, rows));
            }
        }

        for (int start = 0; start < size; start += ErrorFeedback.Lazy)
        {
            int end = Math.Min(size, start + ErrorFeedback.Lazy);
            for (int p = start + 1; p < end; p++)
            {
                SumOfProducts.Run(factor.Rows(start, p - start)[p..], size, 1, change.Slice((long)start * rows, (p - start) * rows), rows, change.Slice((long)p * rows, rows), rows, p - start, 1, rows, subtract: true);
            }

            if (end < size)
            {
                SumOfProducts.Run(factor.Rows(start, end - start)[end..], size, 1, change.Slice((long)start * rows, (end - start) * rows), rows, change.Slice((long)end * rows, (size - end) * rows), rows, end - start, size - end, rows, subtract: true);
            }
        }

        for (int p = 0; p < size; p++)
        {
            double pivot = factor.Pivots[p];
            foreach (ref float value in change.Slice((long)p * rows, rows))
            {
                value = (float)(value / pivot);
            }
        }

        for (int end = size; end > 0; end -= Math.Min(ErrorFeedback.Lazy, end))
        {
            int start = Math.Max(0, end - ErrorFeedback.Lazy);
            for (int p = end - 2; p >= start; p--)
            {
                SumOfProducts.Run(factor.Rows(p, 1)[(p + 1)..], 1, 1, change.Slice((long)(p + 1) * rows, (end - 1 - p) * rows), rows, change.Slice((long)p * rows, rows), rows, end - 1 - p, 1, rows, subtract: true);
            }

            if (start > 0)
            {
                SumOfProducts.Run(factor.Rows(0, start)[start..], 1, size, change.Slice((long)start * rows, (end - start) * rows), rows, change.Slice(0, start * rows), rows, end - start, start, rows, subtract: true);
            }
        }

        for (int p = 0; p < size; p++)
        {
            Span<float> weights = tile.Column(factor.Order[p]);
            Span<float> by = change.Slice((long)p * rows, rows);
            for (int r = 0; r < by.Length; r++)
            {
                weights[r] += by[r];
            }
        }
    }
}
