using System.Globalization;
using System.Runtime.InteropServices;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>Reads the second moments of an input.</summary>
internal static class MomentMatrix
{
    /// <summary>One row, [K].</summary>
    public static void ReadRow(ActivationStatistics statistics, int row, Span<float> destination) =>
        statistics.SecondMoments!.Read((long)row * statistics.Tap.Columns * sizeof(float), MemoryMarshal.AsBytes(destination[..statistics.Tap.Columns]));

    /// <summary>The sums of squares, [K], each with a thousandth of their mean: what a squared error of a weight counts; inputs that are always 0 count a little.</summary>
    public static float[] Importance(ActivationStatistics statistics)
    {
        float[] importance = Diagonal(statistics);
        double damp = 0.001 * Mean(importance);
        for (int i = 0; i < importance.Length; i++)
        {
            importance[i] = (float)(importance[i] + damp);
        }

        return importance;
    }

    /// <summary>MP2216, the error of moments that no damping helps.</summary>
    /// <param name="statistics">They.</param>
    /// <param name="mean">Of their diagonal.</param>
    public static ModelPackException Unusable(ActivationStatistics statistics, double mean) => new(
        ErrorCodes.SingularMoments,
        string.Create(CultureInfo.InvariantCulture, $"the second moments of '{statistics.Tap.Value}' over {statistics.Rows} vectors cannot be used, whatever the damping (mean of the diagonal: {mean:g3})"));

    /// <summary>The mean of the sums of squares.</summary>
    public static double Mean(ReadOnlySpan<float> diagonal)
    {
        double sum = 0;
        foreach (float value in diagonal)
        {
            sum += value;
        }

        return sum / Math.Max(1, diagonal.Length);
    }

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
