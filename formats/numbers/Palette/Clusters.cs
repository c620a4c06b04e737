using System.Buffers;

namespace ModelPack.Numbers;

/// <summary>
/// k-means on a line. Clusters of the optimum are ranges, so dynamic programming finds it: cost[r][j] = min over i of cost[r-1][i] + spread(i..j), where the best i grows with j; each row is
/// solved by halving in O(n log n). More points than the programme is to handle are merged for it, or their density decides, then Lloyd's iteration goes on with all points. All arithmetic is f64 in
/// a fixed order.
/// </summary>
internal static class Clusters
{
    /// <summary>Finds centres with a small sum of weighted squared distances; the least one for up to <see cref="ClusterEffort.Exact"/> points.</summary>
    /// <param name="points">Ascending; more than there are centres.</param>
    /// <param name="weights">Positive.</param>
    /// <param name="effort">How much work to do; at most 65,535 ranges.</param>
    /// <param name="centres">Receives the centres, ascending.</param>
    public static void Solve(ReadOnlySpan<double> points, ReadOnlySpan<double> weights, ClusterEffort effort, Span<double> centres)
    {
        int n = points.Length;
        int k = centres.Length;
        bool programmed = n <= effort.Exact || effort.Ranges > 0;
        int ranges = n <= effort.Exact ? n : effort.Ranges > 0 ? Math.Max(effort.Ranges, 2 * k) : Companding.Ranges(k);
        double[] sums = ArrayPool<double>.Shared.Rent(3 * (n + 1));
        int[] indexes = ArrayPool<int>.Shared.Rent(ranges + 1 + (2 * (k + 1)));
        try
        {
            var prefix = new Prefix(sums.AsSpan(0, n + 1), sums.AsSpan(n + 1, n + 1), sums.AsSpan(2 * (n + 1), n + 1));
            double middle = prefix.Fill(points, weights);
            Span<int> bounds = indexes.AsSpan(0, k + 1);
            Span<int> scratch = indexes.AsSpan(k + 1, k + 1);
            Span<int> merged = indexes.AsSpan(2 * (k + 1), ranges + 1);
            int m = Merge(points, weights, merged);
            if (programmed)
            {
                Programme(prefix, merged[..(m + 1)], bounds);
            }
            else
            {
                Companding.Fill(points, weights, merged[..(m + 1)], bounds);
            }

            if (m < n)
            {
                ClusterWindows.Refine(prefix, effort.Rounds, bounds);
                Lloyd(points, middle, prefix, effort.Iterations, bounds, scratch);
            }

            for (int r = 0; r < k; r++)
            {
                centres[r] = Mean(points[bounds[r]..bounds[r + 1]], weights[bounds[r]..bounds[r + 1]]);
            }
        }
        finally
        {
            ArrayPool<double>.Shared.Return(sums);
            ArrayPool<int>.Shared.Return(indexes);
        }
    }

    /// <summary>
    /// Starts of at most as many ranges of neighbouring points as fit, and the end. A range ends where the share of all weight in it plus its share of the whole width reaches
    /// 2 / ranges: so none is heavy and none is wide.
    /// </summary>
    private static int Merge(ReadOnlySpan<double> points, ReadOnlySpan<double> weights, Span<int> starts)
    {
        int most = starts.Length - 1;
        int n = points.Length;
        if (n <= most)
        {
            for (int i = 0; i <= n; i++)
            {
                starts[i] = i;
            }

            return n;
        }

        double total = 0;
        foreach (double weight in weights)
        {
            total += weight;
        }

        double byWeight = most / 2.0 / total;
        double byWidth = most / 2.0 / (points[^1] - points[0]);
        int count = 0;
        double before = 0;
        double limit = double.NegativeInfinity;
        for (int i = 0; i < n; i++)
        {
            // Cut where the running share enters another of the equal steps from 0 to 2.
            double share = Math.Floor((before * byWeight) + ((points[i] - points[0]) * byWidth));
            if (share > limit && count < most)
            {
                starts[count++] = i;
                limit = share;
            }

            before += weights[i];
        }

        starts[count] = n;
        return count;
    }

    /// <summary>Optimal bounds in points for clusters of whole ranges.</summary>
    private static void Programme(in Prefix prefix, ReadOnlySpan<int> starts, Span<int> bounds)
    {
        int m = starts.Length - 1;
        int k = bounds.Length - 1;
        double[] costs = ArrayPool<double>.Shared.Rent(2 * (m + 1));
        ushort[] choices = ArrayPool<ushort>.Shared.Rent((k + 1) * (m + 1));
        Span<double> previous = costs.AsSpan(0, m + 1);
        Span<double> current = costs.AsSpan(m + 1, m + 1);
        for (int j = 1; j <= m; j++)
        {
            previous[j] = prefix.Spread(0, starts[j]);
        }

        for (int r = 2; r <= k; r++)
        {
            // Later clusters need a point each; of the last row only its end is needed.
            int high = m - (k - r);
            Halve(prefix, starts, previous, current, choices.AsSpan(r * (m + 1), m + 1), r == k ? m : r, high, r - 1, high - 1);
            Span<double> swap = previous;
            previous = current;
            current = swap;
        }

        bounds[k] = starts[m];
        bounds[0] = 0;
        int end = m;
        for (int r = k; r >= 2; r--)
        {
            end = choices[(r * (m + 1)) + end];
            bounds[r - 1] = starts[end];
        }

        ArrayPool<double>.Shared.Return(costs);
        ArrayPool<ushort>.Shared.Return(choices);
    }

    /// <summary>A row of the programme for the ends from <paramref name="low"/> to <paramref name="high"/>, whose best last starts lie between two known ones.</summary>
    private static void Halve(
        in Prefix prefix, ReadOnlySpan<int> starts, ReadOnlySpan<double> previous, Span<double> current, Span<ushort> choices, int low, int high, int from, int to)
    {
        if (low > high)
        {
            return;
        }

        int end = (low + high) / 2;
        double best = double.PositiveInfinity;
        int choice = from;
        for (int i = from; i <= Math.Min(to, end - 1); i++)
        {
            double cost = previous[i] + prefix.Spread(starts[i], starts[end]);
            if (cost < best)
            {
                (best, choice) = (cost, i);
            }
        }

        current[end] = best;
        choices[end] = (ushort)choice;
        Halve(prefix, starts, previous, current, choices, low, end - 1, from, choice);
        Halve(prefix, starts, previous, current, choices, end + 1, high, choice, to);
    }

    /// <summary>Moves bounds to the midpoints between means until nothing moves.</summary>
    private static void Lloyd(ReadOnlySpan<double> points, double middle, in Prefix prefix, int iterations, Span<int> bounds, Span<int> next)
    {
        next[0] = 0;
        next[^1] = points.Length;
        for (int iteration = 0; iteration < iterations; iteration++)
        {
            bool moved = false;
            double left = prefix.Mean(bounds[0], bounds[1]);
            for (int r = 1; r < bounds.Length - 1; r++)
            {
                double right = prefix.Mean(bounds[r], bounds[r + 1]);
                int at = FirstAbove(points, middle + ((left + right) / 2), bounds[r]);
                if (at <= next[r - 1])
                {
                    return; // A cluster would become empty.
                }

                next[r] = at;
                moved |= at != bounds[r];
                left = right;
            }

            if (!moved || next[^2] >= points.Length)
            {
                return;
            }

            next.CopyTo(bounds);
        }
    }

    /// <summary>Looked for from where it was: bounds move little.</summary>
    private static int FirstAbove(ReadOnlySpan<double> points, double limit, int at)
    {
        while (at < points.Length && points[at] <= limit)
        {
            at++;
        }

        while (at > 0 && points[at - 1] > limit)
        {
            at--;
        }

        return at;
    }

    private static double Mean(ReadOnlySpan<double> points, ReadOnlySpan<double> weights)
    {
        double sum = points[0] * weights[0];
        double total = weights[0];
        for (int i = 1; i < points.Length; i++)
        {
            sum += points[i] * weights[i];
            total += weights[i];
        }

        return sum / total;
    }

    /// <summary>Sums over the first points of weight, weight x distance and weight x distance², where distances are from the mean.</summary>
    public readonly ref struct Prefix(Span<double> weight, Span<double> first, Span<double> second)
    {
        private readonly Span<double> _weight = weight;
        private readonly Span<double> _first = first;
        private readonly Span<double> _second = second;

        /// <summary>Returns the mean.</summary>
        public double Fill(ReadOnlySpan<double> points, ReadOnlySpan<double> weights)
        {
            double mean = Clusters.Mean(points, weights);
            _weight[0] = _first[0] = _second[0] = 0;
            for (int i = 0; i < points.Length; i++)
            {
                double x = points[i] - mean;
                _weight[i + 1] = _weight[i] + weights[i];
                _first[i + 1] = _first[i] + (weights[i] * x);
                _second[i + 1] = _second[i] + (weights[i] * x * x);
            }

            return mean;
        }

        /// <summary>The sums over the first <paramref name="count"/> points.</summary>
        public void At(int count, out double weight, out double first, out double second) =>
            (weight, first, second) = (_weight[count], _first[count], _second[count]);

        public double Mean(int start, int end) => (_first[end] - _first[start]) / (_weight[end] - _weight[start]);

        /// <summary>Sum of squared distances from the mean of the points in a range.</summary>
        public double Spread(int start, int end)
        {
            double sum = _first[end] - _first[start];
            return Math.Max(0, _second[end] - _second[start] - (sum * sum / (_weight[end] - _weight[start])));
        }
    }
}
