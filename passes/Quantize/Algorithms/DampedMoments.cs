using ModelPack.Compiler.Calibration;
using ModelPack.Compiler.Linear;

namespace ModelPack.Passes;

/// <summary>Second moments in memory, [K, K] in the order of the columns, with the damping of an algorithm on the diagonal.</summary>
internal sealed class DampedMoments : IDisposable
{
    private readonly NativeArray<float> _values;

    /// <param name="statistics">With second moments.</param>
    /// <param name="damping">Part of the mean of the diagonal that is added to it.</param>
    /// <exception cref="ModelPackException">MP2216: all zero, or not finite.</exception>
    public DampedMoments(ActivationStatistics statistics, double damping)
    {
        Size = statistics.Tap.Columns;
        double mean = MomentMatrix.Mean(MomentMatrix.Diagonal(statistics));
        if (!(mean > 0 && double.IsFinite(mean)))
        {
            throw MomentMatrix.Unusable(statistics, mean);
        }

        double damp = damping * mean;
        _values = new NativeArray<float>((long)Size * Size);
        for (int row = 0; row < Size; row++)
        {
            Span<float> to = _values.Slice((long)row * Size, Size);
            MomentMatrix.ReadRow(statistics, row, to);
            to[row] = (float)(to[row] + damp);
        }
    }

    /// <summary>K.</summary>
    public int Size { get; }

    /// <summary>One row, [K].</summary>
    public ReadOnlySpan<float> Row(int row) => Rows(row, 1);

    /// <summary>Some rows, [count, K].</summary>
    public ReadOnlySpan<float> Rows(int row, int count) => _values.Slice((long)row * Size, checked(count * Size));

    public void Dispose() => _values.Dispose();
}
