namespace ModelPack.Compiler.Linear;

/// <summary>
/// Makes vectors orthogonal by plane rotations (one-sided Jacobi; Hestenes, 1958): the most accurate way to singular values, small ones included. Pairs meet in the order of a round-robin tournament, those of a round are disjoint and
/// turn at the same time, so that threads do not change results.
/// </summary>
internal static class OneSidedJacobi
{
    private const int MaxSweeps = 60;

    /// <summary>Cosine of the angle between two vectors at which they count as orthogonal.</summary>
    private const double Orthogonal = 1e-15;

    private const int PairsAtOnce = 16;

    /// <summary>Turns vectors.</summary>
    /// <param name="vectors">[n, m]: rows become orthogonal.</param>
    /// <param name="rotation">[n, n]: rows undergo the same rotations.</param>
    /// <param name="threads">Worker threads.</param>
    /// <param name="cancellation">Checked once per round.</param>
    public static void Run(Matrix vectors, Matrix rotation, int threads, CancellationToken cancellation)
    {
        int n = vectors.Rows;
        if (n < 2)
        {
            return;
        }

        // One place of the tournament stays empty when n is odd.
        int places = n + (n & 1);
        int[] seats = [.. Enumerable.Range(0, places)];
        int pairs = places / 2;
        int pieces = (pairs + PairsAtOnce - 1) / PairsAtOnce;
        var options = new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads), CancellationToken = cancellation };
        bool[] turned = new bool[pieces];
        for (int sweep = 0; sweep < MaxSweeps; sweep++)
        {
            Array.Clear(turned);
            for (int round = 0; round < places - 1; round++)
            {
                Parallel.For(0, pieces, options, piece =>
                {
                    for (int pair = piece * PairsAtOnce; pair < Math.Min(pairs, (piece + 1) * PairsAtOnce); pair++)
                    {
                        int p = Math.Min(seats[pair], seats[places - 1 - pair]);
                        int q = Math.Max(seats[pair], seats[places - 1 - pair]);
                        turned[piece] |= q < n && Turn(vectors, rotation, p, q);
                    }
                });

                // All but the first move on by one seat.
                int last = seats[^1];
                Array.Copy(seats, 1, seats, 2, places - 2);
                seats[1] = last;
            }

            if (!turned.Contains(true))
            {
                return;
            }
        }
    }

    /// <summary>Makes two rows orthogonal, the longer one first; false when they are.</summary>
    private static bool Turn(Matrix vectors, Matrix rotation, int p, int q)
    {
        Span<double> x = vectors.Row(p);
        Span<double> y = vectors.Row(q);
        (double a, double b, double both) = VectorMath.Products(x, y);
        if (!(Math.Abs(both) > Orthogonal * Math.Sqrt(a) * Math.Sqrt(b)))
        {
            return false;
        }

        double zeta = (b - a) / (2 * both);
        double tangent = 1 / (Math.Abs(zeta) + Math.Sqrt(1 + (zeta * zeta)));
        tangent = zeta < 0 ? -tangent : tangent;
        double cosine = 1 / Math.Sqrt(1 + (tangent * tangent));
        double sine = cosine * tangent;
        VectorMath.Rotate(x, y, cosine, sine);
        VectorMath.Rotate(rotation.Row(p), rotation.Row(q), cosine, sine);
        return true;
    }
}
