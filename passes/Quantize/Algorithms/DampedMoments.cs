using System.Runtime.InteropServices;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>Second moments, [K, K] in the order of the columns, with the damping of an algorithm on the diagonal; read some rows at a time from where the statistics keep them.</summary>
internal sealed class DampedMoments
{
    private readonly TensorData _moments;
    private readonly double _damp;

    /// <param name="statistics">With second moments; stay the caller's.</param>
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

        _moments = statistics.SecondMoments!;
        _damp = damping * mean;
    }

    /// <summary>K.</summary>
    public int Size { get; }

    /// <summary>Reads rows.</summary>
    /// <param name="row">The first.</param>
    /// <param name="count">How many.</param>
    /// <param name="rows">[count, K] destination.</param>
    public void Read(int row, int count, Span<float> rows)
    {
        _moments.Read((long)row * Size * sizeof(float), MemoryMarshal.AsBytes(rows[..checked(count * Size)]));
        for (int i = 0; i < count; i++)
        {
            ref float diagonal = ref rows[(i * Size) + row + i];
            diagonal = (float)(diagonal + _damp);
        }
    }
}
