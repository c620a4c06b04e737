using ModelPack.Compiler.Linear;

namespace ModelPack.Passes;

/// <summary>
/// Rows of a matrix of full column rank that make all others (interpolative decomposition): each time the row that is furthest from the span of those chosen before, as in QR with column pivoting, so that the combinations stay small.
/// </summary>
internal static class PivotChoice
{
    /// <summary>Chooses rows.</summary>
    /// <param name="rows">[N, r], r &lt; N.</param>
    /// <returns>Which rows are chosen, in ascending order, and C [N - r, r]: every other row is its row of C times the chosen ones.</returns>
    public static (int[] Chosen, Matrix Combinations) Run(Matrix rows)
    {
        int n = rows.Rows;
        int rank = rows.Columns;
        using Matrix rest = rows.Top(n);
        using var coordinates = new Matrix(n, rank); // of every row in the orthonormal basis that the chosen ones span
        double[] lengths = [.. Enumerable.Range(0, n).Select(i => VectorMath.Dot(rest.Row(i), rest.Row(i)))];
        int[] order = new int[rank];
        bool[] taken = new bool[n];
        double[] direction = new double[rank];
        for (int j = 0; j < rank; j++)
        {
            int best = -1;
            for (int i = 0; i < n; i++)
            {
                best = !taken[i] && (best < 0 || lengths[i] > lengths[best]) ? i : best;
            }

            order[j] = best;
            double norm = Math.Sqrt(VectorMath.Dot(rest.Row(best), rest.Row(best)));
            Array.Clear(direction);
            VectorMath.AddScaled(rest.Row(best), norm > 0 ? 1 / norm : 0, direction);
            for (int i = 0; i < n; i++)
            {
                if (!taken[i])
                {
                    double along = VectorMath.Dot(rest.Row(i), direction);
                    coordinates[i, j] = along;
                    VectorMath.AddScaled(direction, -along, rest.Row(i));
                    lengths[i] = VectorMath.Dot(rest.Row(i), rest.Row(i));
                }
            }

            taken[best] = true;
        }

        // Chosen rows are L times the basis, L lower triangular in the order of choice; the others C' times it: C L = C'.
        int[] sorted = [.. order.Order()];
        int[] place = [.. order.Select(row => Array.BinarySearch(sorted, row))];
        var combinations = new Matrix(n - rank, rank);
        int next = 0;
        double[] solved = new double[rank];
        for (int i = 0; i < n; i++)
        {
            if (taken[i])
            {
                continue;
            }

            coordinates.Row(i).CopyTo(solved);
            for (int j = rank - 1; j >= 0; j--)
            {
                ReadOnlySpan<double> pivot = coordinates.Row(order[j]);
                double value = pivot[j] == 0 ? 0 : solved[j] / pivot[j];
                VectorMath.AddScaled(pivot[..j], -value, solved.AsSpan(0, j));
                combinations[next, place[j]] = value;
            }

            next++;
        }

        return (sorted, combinations);
    }
}
