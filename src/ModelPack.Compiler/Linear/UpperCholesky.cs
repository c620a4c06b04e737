namespace ModelPack.Compiler.Linear;

/// <summary>The Cholesky factorisation A = V^T V of a symmetric positive definite matrix, V upper triangular, in double precision, in place.</summary>
/// <remarks>
/// Right-looking by strips of <see cref="Strip"/> rows: a strip is finished row by row, then what it contributes is taken off the rows below it, those in parallel. Every element sees the same operations in the same
/// order whatever the number of threads and the instruction set (<see cref="SumOfProducts"/>).
/// </remarks>
public static class UpperCholesky
{
    /// <summary>Rows that are finished before the rest is updated.</summary>
    public const int Strip = 64;

    /// <summary>A pivot below this part of its diagonal element is rounding, not information: the matrix is singular as far as double arithmetic can tell.</summary>
    private const double LeastPivot = 1e-12;

    /// <summary>Factors the upper triangle; what lies below the diagonal is left undefined.</summary>
    /// <param name="matrix">[size, size], row-major; its upper triangle is read and becomes V.</param>
    /// <param name="size">Rows and columns.</param>
    /// <param name="threads">Worker threads.</param>
    /// <param name="cancellation">Checked once per strip.</param>
    /// <returns>-1, or the first row whose pivot is not positive (or not a number): the matrix is not positive definite and is spoilt.</returns>
    public static int Factor(NativeArray<double> matrix, int size, int threads, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(matrix);
        var parallel = new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) };
        for (int start = 0; start < size; start += Strip)
        {
            cancellation.ThrowIfCancellationRequested();
            int end = Math.Min(size, start + Strip);
            int bad = FinishStrip(matrix, size, start, end);
            if (bad >= 0)
            {
                return bad;
            }

            int first = start;
            int strips = (size - end + Strip - 1) / Strip;
            Parallel.For(0, strips, parallel, strip =>
            {
                int top = end + (strip * Strip);
                int rows = Math.Min(Strip, size - top);
                Span<double> done = Rows(matrix, size, first, end - first);
                Span<double> target = Rows(matrix, size, top, rows);
                SumOfProducts.Run<double>(done[top..], size, 1, done[top..], size, target[top..], size, end - first, rows, size - top, subtract: true);
            });
        }

        return -1;
    }

    private static int FinishStrip(NativeArray<double> matrix, int size, int start, int end)
    {
        for (int row = start; row < end; row++)
        {
            Span<double> target = Rows(matrix, size, row, 1)[row..];
            double diagonal = target[0];
            if (row > start)
            {
                Span<double> above = Rows(matrix, size, start, row - start)[row..];
                SumOfProducts.Run<double>(above, size, 1, above, size, target, size, row - start, 1, size - row, subtract: true);
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

    private static Span<double> Rows(NativeArray<double> matrix, int size, int first, int count) => matrix.Slice((long)first * size, checked(count * size));
}
