using System.Runtime.InteropServices;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>Reads the second moments of an input.</summary>
internal static class MomentMatrix
{
    /// <summary>One row, [K].</summary>
    public static void ReadRow(ActivationStatistics statistics, int row, Span<float> destination) =>
        statistics.SecondMoments!.Read((long)row * statistics.Tap.Columns * sizeof(float), MemoryMarshal.AsBytes(destination[..statistics.Tap.Columns]));

    /// <summary>The sums of squares, [K].</summary>
    public static float[] Diagonal(ActivationStatistics statistics)
    {
        int size = statistics.Tap.Columns;
        float[] diagonal = new float[size];
        for (int i = 0; i < size; i++)
        {
            statistics.SecondMoments!.Read((((long)i * size) + i) * sizeof(float), MemoryMarshal.AsBytes(diagonal.AsSpan(i, 1)));
        }

        return diagonal;
    }
}
