using System.Globalization;
using ModelPack.Compiler.Calibration;
using ModelPack.Compiler.Linear;

namespace ModelPack.Passes;

/// <summary>
/// The factorisation on which GPTQ works. For second moments H = R R^T, R upper triangular in the order in which columns are quantised, the error of the output is the sum over columns k of
/// R[k,k]^2 (e[k] + sum of e[j] R[j,k] / R[k,k] over the columns j before k)^2, e being weight less quantised weight. So column k is best rounded from w[k] + sum of e[j] R[j,k] / R[k,k].
/// </summary>
/// <remarks>
/// This is GPTQ (Frantar et al., arXiv 2210.17323) as LDLQ (Chee et al., arXiv 2307.13304, theorem 6: both give the same result). It needs no inverse: half the work, and no trouble with what an inverse does to
/// nearly singular moments. R is found as the ordinary factor of the matrix in reversed order, so positions here run backwards: position K-1 is quantised first.
/// </remarks>
internal sealed class FeedbackFactor : IDisposable
{
    /// <summary>Largest damping before the moments are given up.</summary>
    private const double MostDamping = 1;

    private readonly NativeArray<double> _memory;

    private FeedbackFactor(NativeArray<double> memory, int[] order, double[] pivots, double damping)
    {
        _memory = memory;
        Order = order;
        Pivots = pivots;
        Damping = damping;
    }

    /// <summary>K.</summary>
    public int Size => Order.Length;

    /// <summary>The column at each position; the last position is quantised first.</summary>
    public int[] Order { get; }

    /// <summary>R[k,k]^2 by position: what a squared rounding error at that position costs.</summary>
    public double[] Pivots { get; }

    /// <summary>The damping that was used: what was asked for, or ten times that as often as it took.</summary>
    public double Damping { get; }

    /// <summary>Row <paramref name="position"/> on: coefficients [rows, K] of the errors at higher positions.</summary>
    public ReadOnlySpan<float> Rows(int position, int count) => _memory.As<float>((long)position * Size, checked(count * Size));

    /// <summary>Factors the moments of an input.</summary>
    /// <param name="statistics">With second moments.</param>
    /// <param name="activationOrder">True: columns with the largest sums of squares first; false: as they come.</param>
    /// <param name="damping">Part of the mean of the diagonal that is added to it.</param>
    /// <param name="threads">Worker threads.</param>
    /// <param name="cancellation">Stops.</param>
    /// <exception cref="ModelPackException">MP2216: not usable even with a damping of 1: all zero, or not finite.</exception>
    public static FeedbackFactor Create(ActivationStatistics statistics, bool activationOrder, double damping, int threads, CancellationToken cancellation)
    {
        int size = statistics.Tap.Columns;
        float[] diagonal = MomentMatrix.Diagonal(statistics);
        double mean = MomentMatrix.Mean(diagonal);
        int[] order = [.. Enumerable.Range(0, size)];
        order = activationOrder ? [.. order.OrderBy(i => diagonal[i]).ThenByDescending(i => i)] : [.. order.Reverse()];
        var memory = new NativeArray<double>((long)size * size);
        try
        {
            for (double used = damping; mean > 0 && double.IsFinite(mean) && used <= MostDamping; used *= 10)
            {
                Fill(memory, statistics, order, used * mean);
                if (UpperCholesky.Factor(memory, size, threads, cancellation) < 0)
                {
                    return new FeedbackFactor(memory, order, Narrow(memory, size), used);
                }
            }

            throw new ModelPackException(
                ErrorCodes.SingularMoments,
                string.Create(CultureInfo.InvariantCulture, $"the second moments of '{statistics.Tap.Value}' over {statistics.Rows} vectors cannot be factored, whatever the damping (mean of the diagonal: {mean:g3})"));
        }
        catch
        {
            memory.Dispose();
            throw;
        }
    }

    public void Dispose() => _memory.Dispose();

    private static void Fill(NativeArray<double> memory, ActivationStatistics statistics, int[] order, double damp)
    {
        int size = order.Length;
        float[] row = new float[size];
        for (int p = 0; p < size; p++)
        {
            MomentMatrix.ReadRow(statistics, order[p], row);
            Span<double> to = memory.Slice((long)p * size, size);
            for (int q = p; q < size; q++)
            {
                to[q] = row[order[q]];
            }

            to[p] += damp;
        }
    }

    /// <summary>Rows divided by their diagonal element, as f32 at the front of the same memory: row p ends before row p + 1 of the wider numbers begins.</summary>
    private static double[] Narrow(NativeArray<double> memory, int size)
    {
        double[] pivots = new double[size];
        for (int p = 0; p < size; p++)
        {
            Span<double> from = memory.Slice((long)p * size, size);
            double diagonal = from[p];
            Span<float> to = memory.As<float>((long)p * size, size);
            for (int q = 0; q < size; q++)
            {
                to[q] = q > p ? (float)(from[q] / diagonal) : 0f;
            }

            pivots[p] = diagonal * diagonal;
        }

        return pivots;
    }
}
