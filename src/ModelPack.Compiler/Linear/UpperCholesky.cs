namespace ModelPack.Compiler.Linear;

/// <summary>The Cholesky factorisation A = V^T V of a symmetric positive definite matrix, V upper triangular, in double precision, in place.</summary>
/// <remarks>
/// Right-looking by strips of <see cref="UpperTriangle.Strip"/> rows: a strip is finished row by row, then what it contributes is taken off the rows below it, those in parallel. Every element sees the same operations in the same
/// order whatever the number of threads and the instruction set (<see cref="SumOfProducts"/>).
/// </remarks>
public static class UpperCholesky
{
    /// <summary>A pivot below this part of its diagonal element is rounding, not information: the matrix is singular as far as double arithmetic can tell.</summary>
    private const double LeastPivot = 1e-12;

    /// <summary>Factors a matrix.</summary>
    /// <param name="matrix">Its upper triangle is read and becomes V.</param>
    /// <param name="threads">Worker threads.</param>
    /// <param name="cancellation">Checked once per strip.</param>
    /// <returns>-1, or the first row whose pivot is not positive (or not a number): the matrix is not positive definite and is spoilt.</returns>
    public static int Factor(UpperTriangle matrix, int threads, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(matrix);
        int size = matrix.Size;
        var parallel = new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) };
        for (int start = 0; start < size; start += UpperTriangle.Strip)
        {
            cancellation.ThrowIfCancellationRequested();
            int end = Math.Min(size, start + UpperTriangle.Strip);
            int bad = FinishStrip(matrix, start, end);
            if (bad >= 0)
            {
                return bad;
            }

            int first = start;
            int width = matrix.Width(start);
            int strips = (size - end + UpperTriangle.Strip - 1) / UpperTriangle.Strip;
            Parallel.For(0, strips, parallel, strip =>
            {
                int top = end + (strip * UpperTriangle.Strip);
                int rows = Math.Min(UpperTriangle.Strip, size - top);
                Span<double> done = matrix.Rows(first, end - first)[(top - first)..];
                SumOfProducts.Run<double>(done, width, 1, done, width, matrix.Rows(top, rows), size - top, end - first, rows, size - top, subtract: true);
            });
        }

        return -1;
    }

    private static int FinishStrip(UpperTriangle matrix, int start, int end)
    {
        int width = matrix.Width(start);
        for (int row = start; row < end; row++)
        {
            Span<double> target = matrix.Row(row);
            double diagonal = target[0];
            if (row > start)
            {
                Span<double> above = matrix.Rows(start, row - start)[(row - start)..];
                SumOfProducts.Run<double>(above, width, 1, above, width, target, width, row - start, 1, target.Length, subtract: true);
            }

            double pivot = target[0];
            if (!(pivot > LeastPivot * diagonal) || !double.IsFinite(pivot))
            {
                return row;
            }

            double root = Math.Sqrt(pivot);
            for (int i = 0; i < target.Length; i++)
            {
                target[i] /= root;
            }
        }

        return -1;
    }
}
