namespace ModelPack.Numbers;

/// <summary>
/// Where clusters begin before Lloyd's iteration: their density follows the cube root of the density of points, which is optimal for many clusters (Panter and Dite, 1951). The density is taken
/// over ranges that are neither heavy nor wide.
/// </summary>
internal static class Companding
{
    private const int MostRanges = 64;

    private const int Passes = 6;

    /// <summary>How many ranges the density is measured in.</summary>
    public static int Ranges(int clusters) => clusters <= 32 ? 32 : MostRanges;

    /// <summary>Fills bounds in points, every cluster having one at least.</summary>
    /// <param name="points">Ascending; at least as many as clusters.</param>
    /// <param name="weights">Positive.</param>
    /// <param name="starts">Starts of ranges of points, and the end.</param>
    /// <param name="bounds">Receives starts of clusters, and the end.</param>
    public static void Fill(ReadOnlySpan<double> points, ReadOnlySpan<double> weights, ReadOnlySpan<int> starts, Span<int> bounds)
    {
        int m = starts.Length - 1;
        int k = bounds.Length - 1;
        Span<double> shares = stackalloc double[MostRanges];
        double total = 0;
        for (int j = 0; j < m; j++)
        {
            double weight = 0;
            foreach (double w in weights[starts[j]..starts[j + 1]])
            {
                weight += w;
            }

            double width = Edge(points, starts, j + 1) - Edge(points, starts, j);
            shares[j] = CubeRoot(weight * width * width);
        }

        // No range can use more clusters than it has points: far outliers would take many.
        for (int i = 0; i <= Passes; i++)
        {
            double all = 0;
            for (int j = 0; j < m; j++)
            {
                shares[j] = i == 0 ? shares[j] : Math.Min(shares[j], (starts[j + 1] - starts[j]) * total / k);
                all += shares[j];
            }

            total = all;
        }

        bounds[0] = 0;
        bounds[k] = points.Length;
        int range = 0;
        double before = 0;
        int at = 0;
        for (int r = 1; r < k; r++)
        {
            double wanted = total * r / k;
            while (range < m - 1 && before + shares[range] < wanted)
            {
                before += shares[range++];
            }

            double left = Edge(points, starts, range);
            double part = shares[range] > 0 ? (wanted - before) / shares[range] : 0;
            double limit = left + (part * (Edge(points, starts, range + 1) - left));
            while (at < points.Length && points[at] <= limit)
            {
                at++;
            }

            at = Math.Clamp(at, bounds[r - 1] + 1, points.Length - (k - r));
            bounds[r] = at;
        }
    }

    private static double Edge(ReadOnlySpan<double> points, ReadOnlySpan<int> starts, int j) =>
        j == 0 ? points[0]
        : j == starts.Length - 1 ? points[^1]
        : (points[starts[j] - 1] + points[starts[j]]) / 2;

    /// <summary>By Newton's iteration, so that it is the same everywhere; near enough for a start.</summary>
    private static double CubeRoot(double value)
    {
        if (!(value > 1e-300))
        {
            return 0;
        }

        // A third of the exponent is within a few percent.
        double root = BitConverter.Int64BitsToDouble((BitConverter.DoubleToInt64Bits(value) / 3) + 0x2A9F7893_00000000);
        for (int i = 0; i < 3; i++)
        {
            root -= (root - (value / (root * root))) / 3;
        }

        return root;
    }
}
