using System.Collections.Immutable;

namespace ModelPack.Architectures.Encoder;

/// <summary>
/// Buckets of distances between tokens (T5, Raffel et al. 2020, section 2.1, in both directions): half of the buckets for keys behind the query; of these, half one per distance and half at logarithmic steps up to 128, beyond which all
/// share the last.
/// </summary>
internal static class DistanceBuckets
{
    private const int Farthest = 128;

    /// <summary>Logarithms of whole steps must not fall below them by rounding.</summary>
    private const double Slack = 1e-9;

    /// <summary>The bucket of every distance key - query from -(<paramref name="positions"/> - 1) on.</summary>
    public static ImmutableArray<long> All(long positions, long buckets)
    {
        var all = ImmutableArray.CreateBuilder<long>((int)(2 * positions) - 1);
        for (long distance = 1 - positions; distance < positions; distance++)
        {
            all.Add((distance > 0 ? buckets / 2 : 0) + Of(Math.Abs(distance), buckets / 2));
        }

        return all.MoveToImmutable();
    }

    private static long Of(long distance, long buckets)
    {
        long exact = buckets / 2;
        if (distance < exact)
        {
            return distance;
        }

        double share = DeterministicLog.Of(distance / (double)exact) / DeterministicLog.Of(Farthest / (double)exact);
        return Math.Min(buckets - 1, exact + (long)Math.Floor((share * (buckets - exact)) + Slack));
    }
}
