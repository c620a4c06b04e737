using System.Buffers;

namespace ModelPack.Compiler.Linear;

/// <summary>
/// Products of whole matrices, in blocks that fit the caches, on several threads. Every element is a sum over pieces of 256 products, each piece summed in ascending order, so that results depend neither on threads nor on the
/// instruction set (<see cref="SumOfProducts"/>).
/// </summary>
public static class MatrixProduct
{
    private const int Depth = 256;
    private const int BlockRows = 256;
    private const int BlockColumns = 128;

    /// <summary>a b, a b^T, a^T b or a^T b^T.</summary>
    /// <param name="a">[m, k], or [k, m] when transposed.</param>
    /// <param name="transposeA">Whether its transpose is meant.</param>
    /// <param name="b">[k, n], or [n, k] when transposed.</param>
    /// <param name="transposeB">Whether its transpose is meant.</param>
    /// <param name="threads">Worker threads.</param>
    /// <param name="cancellation">Checked once per block.</param>
    /// <returns>[m, n], the caller's to dispose.</returns>
    public static Matrix Of(Matrix a, bool transposeA, Matrix b, bool transposeB, int threads, CancellationToken cancellation = default)
    {
        var c = new Matrix(transposeA ? a.Columns : a.Rows, transposeB ? b.Rows : b.Columns);
        Add(a, transposeA, b, transposeB, c, 0, threads, subtract: false, cancellation);
        return c;
    }

    /// <summary>Adds such a product to the rows of c from <paramref name="firstRow"/> on, or takes it off.</summary>
    public static void Add(Matrix a, bool transposeA, Matrix b, bool transposeB, Matrix c, int firstRow, int threads, bool subtract, CancellationToken cancellation = default)
    {
        int m = transposeA ? a.Columns : a.Rows;
        int k = transposeA ? a.Rows : a.Columns;
        int n = transposeB ? b.Rows : b.Columns;
        if (k != (transposeB ? b.Columns : b.Rows) || n != c.Columns || firstRow < 0 || m > c.Rows - firstRow)
        {
            throw new ArgumentException($"[{m}, {k}] x [{(transposeB ? b.Columns : b.Rows)}, {n}] does not fit [{c.Rows}, {c.Columns}] from row {firstRow} on");
        }

        if (m == 0 || n == 0 || k == 0)
        {
            return;
        }

        int down = (m + BlockRows - 1) / BlockRows;
        int across = (n + BlockColumns - 1) / BlockColumns;
        Parallel.For(0, down * across, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads), CancellationToken = cancellation }, block =>
        {
            int row = block % down * BlockRows;
            int column = block / down * BlockColumns;
            int rows = Math.Min(BlockRows, m - row);
            int columns = Math.Min(BlockColumns, n - column);
            double[] panel = ArrayPool<double>.Shared.Rent(Depth * columns);
            for (int d = 0; d < k; d += Depth)
            {
                int depth = Math.Min(Depth, k - d);
                Pack(b, transposeB, d, depth, column, columns, panel);
                ReadOnlySpan<double> left = transposeA ? a.Part(d, row, d + depth - 1, row + rows) : a.Part(row, d, row + rows - 1, d + depth);
                SumOfProducts.Run(
                    left, transposeA ? a.Columns : 1, transposeA ? 1 : a.Columns, panel, columns, c.Part(firstRow + row, column, firstRow + row + rows - 1, column + columns), c.Columns, depth, rows, columns, subtract);
            }

            ArrayPool<double>.Shared.Return(panel);
        });
    }

    /// <summary>panel[d, j] = b[first + d, column + j], or of its transpose.</summary>
    private static void Pack(Matrix b, bool transposed, int first, int depth, int column, int columns, double[] panel)
    {
        if (!transposed)
        {
            for (int d = 0; d < depth; d++)
            {
                b.Row(first + d).Slice(column, columns).CopyTo(panel.AsSpan(d * columns));
            }

            return;
        }

        for (int j = 0; j < columns; j++)
        {
            ReadOnlySpan<double> from = b.Row(column + j).Slice(first, depth);
            for (int d = 0; d < from.Length; d++)
            {
                panel[(d * columns) + j] = from[d];
            }
        }
    }
}
