using System.Buffers;

namespace ModelPack.Numbers;

/// <summary>
/// Moves all bounds of clusters together: dynamic programming over a few positions around every bound, at a distance that is halved from a quarter of a cluster to one point. Unlike Lloyd's iteration
/// it shifts whole runs of clusters at once.
/// </summary>
internal static class ClusterWindows
{
    /// <summary>Positions on either side of a bound.</summary>
    private const int Reach = 2;

    private const int Width = (2 * Reach) + 1;

    /// <summary>Improves bounds.</summary>
    /// <param name="prefix">Sums over the points.</param>
    /// <param name="rounds">At most so many for every distance; fewer when nothing moves.</param>
    /// <param name="bounds">Ascending positions in points, one more than clusters.</param>
    public static void Refine(in Clusters.Prefix prefix, int rounds, Span<int> bounds)
    {
        int k = bounds.Length - 1;
        int n = bounds[k];
        byte[] choices = ArrayPool<byte>.Shared.Rent(k * Width);
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
        Span<double> before = stackalloc double[Width];
        Span<double> costs = stackalloc double[Width];
        Span<int> from = stackalloc int[Width];
        Span<int> to = stackalloc int[Width];
        int ways = 1;
        from[0] = 0;
        before[0] = 0;
        for (int r = 1; r <= k; r++)
        {
            int ends = r < k ? Width : 1;
            for (int j = 0; j < ends; j++)
            {
                to[j] = r < k ? Position(bounds[r], j - Reach, step, r, n - (k - r)) : n;
                double best = double.PositiveInfinity;
                int choice = 0;
                for (int i = 0; i < ways; i++)
                {
                    double cost = from[i] < to[j] ? before[i] + prefix.Spread(from[i], to[j]) : double.PositiveInfinity;
                    if (cost < best)
                    {
                        (best, choice) = (cost, i);
                    }
                }

                costs[j] = best;
                choices[((r - 1) * Width) + j] = (byte)choice;
            }

            costs.CopyTo(before);
            to.CopyTo(from);
            ways = ends;
        }

        bool moved = false;
        int way = 0;
        for (int r = k; r > 1; r--)
        {
            way = choices[((r - 1) * Width) + way];
            int at = Position(bounds[r - 1], way - Reach, step, r - 1, n - (k - r + 1));
            moved |= at != bounds[r - 1];
            bounds[r - 1] = at;
        }

        return moved;
    }

    private static int Position(int bound, int way, int step, int low, int high) => Math.Clamp(bound + (way * step), low, high);
}
