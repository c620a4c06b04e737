using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>
/// Chooses the range of an activation from its statistics: <c>minmax</c> all values; <c>percentile</c> all but the outermost; <c>mse</c> the range of least squared error; <c>entropy</c> the range of least
/// information loss (Migacz, "8-bit inference with TensorRT", 2017). All but the first read the histogram.
/// </summary>
/// <param name="method">The name of the method.</param>
/// <param name="percentile">percentile: the part of the values that stays inside.</param>
internal sealed class ActivationRange(string method, double percentile)
{
    /// <summary>Names of the methods.</summary>
    public static IReadOnlyList<string> Methods { get; } = ["minmax", "percentile", "entropy", "mse"];

    /// <summary>Bins that make up one 8-bit half range in the entropy method.</summary>
    private const int EntropyLevels = 128;

    /// <summary>Ranges that the search for the least squared error tries per end.</summary>
    private const int Candidates = 64;

    /// <summary>Least and greatest value to be represented; (0, 0) when all values are zero.</summary>
    /// <param name="statistics">Of the activation.</param>
    /// <param name="floor">All values below it are the same to what reads the activation: clipping them costs nothing.</param>
    public (double Low, double High) Of(ActivationStatistics statistics, double floor)
    {
        (double low, double high) = Extremes(statistics);
        low = Math.Max(low, Math.Min(0, floor));
        high = Math.Max(low, high);
        Histogram histogram = statistics.Histogram;
        return low == high ? (low, high) : method switch
        {
            "percentile" => Percentile(histogram, low, high),
            "entropy" => Entropy(histogram, low, high),
            "mse" => LeastError(histogram, low, high, floor),
            _ => (low, high),
        };
    }

    /// <summary>Least and greatest value seen.</summary>
    public static (double Low, double High) Extremes(ActivationStatistics statistics)
    {
        double low = double.PositiveInfinity;
        double high = double.NegativeInfinity;
        for (int c = 0; c < statistics.Minimum.Length; c++)
        {
            low = Math.Min(low, statistics.Minimum[c]);
            high = Math.Max(high, statistics.Maximum[c]);
        }

        return (low, high);
    }

    private static double Width(Histogram histogram) => Math.ScaleB(1, histogram.Exponent + 1) / Histogram.Bins;

    private static double Center(Histogram histogram, int bin) => (bin - (Histogram.Bins / 2) + 0.5) * Width(histogram);

    private (double, double) Percentile(Histogram histogram, double low, double high)
    {
        double outside = (1 - percentile) * histogram.Counts.Sum();
        double width = Width(histogram);
        int first = 0;
        for (double sum = 0; first < Histogram.Bins - 1 && (sum += histogram.Counts[first]) <= outside / 2; first++)
        {
        }

        int last = Histogram.Bins - 1;
        for (double sum = 0; last > first && (sum += histogram.Counts[last]) <= outside / 2; last--)
        {
        }

        return (Math.Max(low, (first - (Histogram.Bins / 2)) * width), Math.Min(high, (last + 1 - (Histogram.Bins / 2)) * width));
    }

    /// <summary>Narrows the upper end, then the lower one, to where rounding and clipping together cost least.</summary>
    private static (double, double) LeastError(Histogram histogram, double low, double high, double floor)
    {
        (low, high) = (Math.Min(0, low), Math.Max(0, high));
        (double bestLow, double bestHigh, double best) = (low, high, Error(histogram, low, high, floor));
        for (int i = 1; i < Candidates && high > 0; i++)
        {
            double candidate = high * (Candidates - i) / Candidates;
            double error = Error(histogram, low, candidate, floor);
            if (error < best)
            {
                (bestHigh, best) = (candidate, error);
            }
        }

        for (int i = 1; i < Candidates && low < 0; i++)
        {
            double candidate = low * (Candidates - i) / Candidates;
            double error = Error(histogram, candidate, bestHigh, floor);
            if (error < best)
            {
                (bestLow, best) = (candidate, error);
            }
        }

        return (bestLow, bestHigh);
    }

    /// <summary>Sum of squared errors: a twelfth of a squared step for what is inside, the squared distance to the range for what is not.</summary>
    private static double Error(Histogram histogram, double low, double high, double floor)
    {
        double step = (high - low) / QuantizedValue.Codes;
        double inside = step * step / 12;
        double sum = 0;
        for (int bin = 0; bin < Histogram.Bins; bin++)
        {
            long count = histogram.Counts[bin];
            if (count > 0)
            {
                double value = Math.Max(floor, Center(histogram, bin));
                double beyond = value < low ? low - value : value > high ? value - high : 0;
                sum += count * (inside + (beyond * beyond));
            }
        }

        return sum;
    }

    private static (double, double) Entropy(Histogram histogram, double low, double high)
    {
        // Magnitudes: bin i of the negative half lies as far from 0 as bin i of the positive one.
        int half = Histogram.Bins / 2;
        long[] magnitudes = new long[half];
        for (int i = 0; i < half; i++)
        {
            magnitudes[i] = histogram.Counts[half + i] + histogram.Counts[half - 1 - i];
        }

        int used = half;
        while (used > 0 && magnitudes[used - 1] == 0)
        {
            used--;
        }

        int bestBins = used;
        double best = double.PositiveInfinity;
        for (int bins = EntropyLevels; bins <= used; bins++)
        {
            double loss = Divergence(magnitudes, used, bins);
            if (loss < best)
            {
                (best, bestBins) = (loss, bins);
            }
        }

        double threshold = bestBins * Width(histogram);
        return (Math.Max(low, -threshold), Math.Min(high, threshold));
    }

    /// <summary>
    /// Kullback-Leibler divergence of what 128 levels over the first bins make of the values, from the values themselves, those beyond counted into the last bin. Zeros are left out: every range represents them.
    /// </summary>
    private static double Divergence(long[] magnitudes, int used, int bins)
    {
        double total = 0;
        double beyond = 0;
        for (int i = 1; i < used; i++)
        {
            total += magnitudes[i];
            beyond += i >= bins ? magnitudes[i] : 0;
        }

        if (total == 0)
        {
            return 0;
        }

        // Total of what is inside, before what lies beyond is added to the last bin.
        double inside = total - beyond;
        double sum = 0;
        for (int level = 0; level < EntropyLevels; level++)
        {
            int from = Math.Max(1, level * bins / EntropyLevels);
            int to = (level + 1) * bins / EntropyLevels;
            double count = 0;
            int occupied = 0;
            for (int i = from; i < to; i++)
            {
                count += magnitudes[i];
                occupied += magnitudes[i] > 0 ? 1 : 0;
            }

            for (int i = from; i < to; i++)
            {
                double p = (magnitudes[i] + (i == bins - 1 ? beyond : 0)) / total;
                double q = magnitudes[i] > 0 ? count / occupied / inside : 0;
                sum += p > 0 ? p * DeterministicLog.Of(p / Math.Max(q, 1e-12)) : 0;
            }
        }

        return sum;
    }
}
