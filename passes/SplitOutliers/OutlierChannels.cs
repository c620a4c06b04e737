using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>Which channels of an activation are outliers.</summary>
internal static class OutlierChannels
{
    /// <summary>
    /// Channels whose greatest absolute value is at least <paramref name="threshold"/> times the median over all channels; where there are too many, the largest (of equal ones the first).
    /// </summary>
    /// <param name="statistics">[K] minima and maxima.</param>
    /// <param name="threshold">Times the median.</param>
    /// <param name="most">Most channels to give.</param>
    /// <returns>Ascending.</returns>
    public static int[] Find(ActivationStatistics statistics, double threshold, int most)
    {
        int channels = statistics.Maximum.Length;
        float[] largest = new float[channels];
        for (int k = 0; k < channels; k++)
        {
            largest[k] = Math.Max(Math.Abs(statistics.Minimum[k]), Math.Abs(statistics.Maximum[k]));
        }

        float[] sorted = [.. largest.Order()];
        double limit = threshold * sorted[(channels - 1) / 2];
        return
        [
            .. Enumerable.Range(0, channels).Where(k => largest[k] > 0 && largest[k] >= limit)
                .OrderByDescending(k => largest[k]).ThenBy(k => k).Take(most).Order(),
        ];
    }
}
