using System.Buffers;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>
/// Moves all bounds of clusters together: dynamic programming over a few positions around every bound, at a distance that is halved from an eighth of a cluster or more to one point. Unlike
/// Lloyd's iteration it shifts whole runs of clusters at once. The ends of a cluster are lanes of a vector, f64 without fused operations, so the result is the same everywhere.
/// </summary>
internal static class ClusterWindows
{
    /// <summary>Positions on either side of a bound.</summary>
    private const int Reach = 3;

    /// <summary>Positions are lanes of a vector; the last lane repeats the one before it.</summary>
    private const int Lanes = 8;

    private const int Width = (2 * Reach) + 1;

    /// <summary>Improves bounds.</summary>
    /// <param name="prefix">Sums over the points.</param>
    /// <param name="rounds">At most so many for every distance; fewer when nothing moves.</param>
    /// <param name="bounds">Ascending positions in points, one more than clusters.</param>
    public static void Refine(in Clusters.Prefix prefix, int rounds, Span<int> bounds)
    {
        int k = bounds.Length - 1;
        int n = bounds[k];
        byte[] choices = ArrayPool<byte>.Shared.Rent(k * Lanes);
        int step = 1;
        while (step * 8 * k <= n)
        {
            step *= 2;
        }

        for (; step > 0; step /= 2)
        {
            for (int round = 0; round < rounds && Round(prefix, step, choices, bounds); round++)
            {
            }
        }

        ArrayPool<byte>.Shared.Return(choices);
    }

    /// <summary>Returns whether a bound moved.</summary>
    private static bool Round(in Clusters.Prefix prefix, int step, Span<byte> choices, Span<int> bounds)
    {
        int k = bounds.Length - 1;
        int n = bounds[k];
        Span<int> at = stackalloc int[Lanes];
        var from = new Sums(stackalloc double[Lanes * Sums.Rows]);
        var to = new Sums(stackalloc double[Lanes * Sums.Rows]);
        at.Clear();
        from.Take(prefix, at);
        from.Costs.Clear();
        int ways = 1;
        for (int r = 1; r <= k; r++)
        {
            for (int j = 0; j < Lanes; j++)
            {
                at[j] = r < k ? Position(bounds[r], Math.Min(j, Width - 1) - Reach, step, r, n - (k - r)) : n;
            }

            to.Take(prefix, at);
            Vector512<long> choice = Best(from, ways, to);
            for (int j = 0; j < Lanes; j++)
            {
                choices[((r - 1) * Lanes) + j] = (byte)choice[j];
            }

            Sums swap = from;
            from = to;
            to = swap;
            ways = Width;
        }

        bool moved = false;
        int way = 0;
        for (int r = k; r > 1; r--)
        {
            way = choices[((r - 1) * Lanes) + way];
            int bound = Position(bounds[r - 1], way - Reach, step, r - 1, n - (k - r + 1));
            moved |= bound != bounds[r - 1];
            bounds[r - 1] = bound;
        }

        return moved;
    }

    /// <summary>For every end the cheapest of the ways to begin its cluster; the ends' costs are set.</summary>
    private static Vector512<long> Best(in Sums from, int ways, in Sums to)
    {
        Vector512<double> weight = Vector512.Create<double>(to.Weights);
        Vector512<double> first = Vector512.Create<double>(to.Firsts);
        Vector512<double> second = Vector512.Create<double>(to.Seconds);
        Vector512<double> best = Vector512.Create(double.PositiveInfinity);
        Vector512<long> choice = Vector512<long>.Zero;
        for (int i = 0; i < ways; i++)
        {
            Vector512<double> w = weight - Vector512.Create(from.Weights[i]);
            Vector512<double> f = first - Vector512.Create(from.Firsts[i]);
            Vector512<double> spread = second - Vector512.Create(from.Seconds[i]) - (f * f / w);
            Vector512<double> cost = Vector512.Create(from.Costs[i]) + Vector512.Max(Vector512<double>.Zero, spread);
            Vector512<double> better = Vector512.GreaterThan(w, Vector512<double>.Zero) & Vector512.LessThan(cost, best);
            best = Vector512.ConditionalSelect(better, cost, best);
            choice = Vector512.ConditionalSelect(better.AsInt64(), Vector512.Create((long)i), choice);
        }

        best.CopyTo(to.Costs);
        return choice;
    }

    private static int Position(int bound, int way, int step, int low, int high) => Math.Clamp(bound + (way * step), low, high);

    /// <summary>The prefix sums at a bound's positions, and the least costs up to these.</summary>
    private readonly ref struct Sums(Span<double> values)
    {
        public const int Rows = 4;

        private readonly Span<double> _values = values;

        public Span<double> Weights => _values[..Lanes];

        public Span<double> Firsts => _values.Slice(Lanes, Lanes);

        public Span<double> Seconds => _values.Slice(2 * Lanes, Lanes);

        public Span<double> Costs => _values.Slice(3 * Lanes, Lanes);

        public void Take(in Clusters.Prefix prefix, ReadOnlySpan<int> at)
        {
            for (int j = 0; j < Lanes; j++)
            {
                prefix.At(at[j], out _values[j], out _values[Lanes + j], out _values[(2 * Lanes) + j]);
            }
        }
    }
}
