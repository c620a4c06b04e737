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

    private readonly NativeArray<float> _coefficients;

    private FeedbackFactor(NativeArray<float> coefficients, int[] order, double[] pivots, double damping, bool isTriangular)
    {
        IsTriangular = isTriangular;
        _coefficients = coefficients;
        Order = order;
        Pivots = pivots;
        Damping = damping;
    }

    /// <summary>True for the coefficients of the factorisation; false for those of the moments themselves (<see cref="Diffusion"/>).</summary>
    public bool IsTriangular { get; }

    /// <summary>K.</summary>
    public int Size => Order.Length;

    /// <summary>The column at each position; the last position is quantised first.</summary>
    public int[] Order { get; }

    /// <summary>R[k,k]^2 by position: what a squared rounding error at that position costs.</summary>
    public double[] Pivots { get; }

    /// <summary>The damping that was used: what was asked for, or ten times that as often as it took.</summary>
    public double Damping { get; }

    /// <summary>Row <paramref name="position"/> on: coefficients [rows, K] of the errors at higher positions.</summary>
    public ReadOnlySpan<float> Rows(int position, int count) => _coefficients.Slice((long)position * Size, checked(count * Size));

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
        int[] order = Ordered(diagonal, activationOrder);
        using var memory = new UpperTriangle(size);
        for (double used = damping; mean > 0 && double.IsFinite(mean) && used <= MostDamping; used *= 10)
        {
            Fill(memory, statistics, order, used * mean);
            if (UpperCholesky.Factor(memory, threads, cancellation) < 0)
            {
                double[] pivots = new double[size];
                return new FeedbackFactor(Narrow(memory, pivots), order, pivots, used, isTriangular: true);
            }
        }

        throw MomentMatrix.Unusable(statistics, mean);
    }

    /// <summary>
    /// The coefficients of error diffusion: the residual of the output so far, sum of e[j] x[j], is projected on the column that is rounded next, which takes sum of e[j] H[j,k] / H[k,k]. Needs no factorisation.
    /// </summary>
    /// <param name="statistics">With second moments.</param>
    /// <param name="activationOrder">As for <see cref="Create"/>.</param>
    /// <param name="damping">As for <see cref="Create"/>.</param>
    /// <exception cref="ModelPackException">MP2216: all zero, or not finite.</exception>
    public static FeedbackFactor Diffusion(ActivationStatistics statistics, bool activationOrder, double damping)
    {
        int size = statistics.Tap.Columns;
        float[] diagonal = MomentMatrix.Diagonal(statistics);
        double mean = MomentMatrix.Mean(diagonal);
        if (!(mean > 0 && double.IsFinite(mean)))
        {
            throw MomentMatrix.Unusable(statistics, mean);
        }

        int[] order = Ordered(diagonal, activationOrder);
        var coefficients = new NativeArray<float>((long)size * size);
        double[] pivots = new double[size];
        float[] row = new float[size];
        for (int p = 0; p < size; p++)
        {
            MomentMatrix.ReadRow(statistics, order[p], row);
            pivots[p] = row[order[p]] + (damping * mean);
            Span<float> to = coefficients.Slice((long)p * size, size);
            for (int q = p + 1; q < size; q++)
            {
                to[q] = (float)(row[order[q]] / pivots[p]);
            }
        }

        return new FeedbackFactor(coefficients, order, pivots, damping, isTriangular: false);
    }

    public void Dispose() => _coefficients.Dispose();

    /// <summary>Columns by position: the last is rounded first.</summary>
    private static int[] Ordered(float[] diagonal, bool activationOrder)
    {
        IEnumerable<int> columns = Enumerable.Range(0, diagonal.Length);
        return activationOrder ? [.. columns.OrderBy(i => diagonal[i]).ThenByDescending(i => i)] : [.. columns.Reverse()];
    }

    private static void Fill(UpperTriangle memory, ActivationStatistics statistics, int[] order, double damp)
    {
        int size = order.Length;
        float[] row = new float[size];
        for (int p = 0; p < size; p++)
        {
            MomentMatrix.ReadRow(statistics, order[p], row);
            Span<double> to = memory.Row(p);
            for (int q = p; q < size; q++)
            {
                to[q - p] = row[order[q]];
            }

            to[0] += damp;
        }
    }

    /// <summary>Rows divided by their diagonal element, as f32.</summary>
    private static NativeArray<float> Narrow(UpperTriangle memory, Span<double> pivots)
    {
        int size = pivots.Length;
        var coefficients = new NativeArray<float>((long)size * size);
        for (int p = 0; p < size; p++)
        {
            Span<double> from = memory.Row(p);
            Span<float> to = coefficients.Slice((long)p * size, size);
            double diagonal = from[0];
            for (int q = p + 1; q < size; q++)
            {
                to[q] = (float)(from[q - p] / diagonal);
            }

            pivots[p] = diagonal * diagonal;
        }

        return coefficients;
    }
}
