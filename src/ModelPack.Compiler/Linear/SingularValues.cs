namespace ModelPack.Compiler.Linear;

/// <summary>The largest singular values of a matrix A [m, n] with their vectors: A is about the sum of s_i u_i v_i^T.</summary>
public sealed class SingularValues : IDisposable
{
    /// <summary>Up to this many singular values all are computed; of larger matrices only a few more than are wanted.</summary>
    private const int MaxExact = 1024;

    private const int LeastOversampling = 32;

    /// <summary>Products with A A^T that turn the random vectors towards the large singular values.</summary>
    private const int PowerIterations = 3;

    private SingularValues(Matrix left, double[] values, Matrix right, double total)
    {
        (Left, Values, Right, Total) = (left, values, right, total);
    }

    /// <summary>u_i: [r, m].</summary>
    public Matrix Left { get; }

    /// <summary>s_i, descending.</summary>
    public IReadOnlyList<double> Values { get; }

    /// <summary>v_i: [r, n].</summary>
    public Matrix Right { get; }

    /// <summary>The sum of the squares of all elements of A, which is that of all its singular values.</summary>
    public double Total { get; }

    /// <summary>The squared error that is left with the first <paramref name="rank"/> of them.</summary>
    public double Discarded(int rank)
    {
        double sum = Total;
        for (int i = 0; i < Math.Min(rank, Values.Count); i++)
        {
            sum -= Values[i] * Values[i];
        }

        return Math.Max(0, sum);
    }

    /// <summary>
    /// The <paramref name="rank"/> largest: all of them by QR and one-sided Jacobi where there are at most 1024, else by random projection with power iterations (Halko, Martinsson and Tropp, arXiv 0909.4061).
    /// </summary>
    /// <param name="a">[m, n], finite; stays as it is.</param>
    /// <param name="rank">How many; at most min(m, n).</param>
    /// <param name="seed">Of the random projection.</param>
    /// <param name="threads">Worker threads; do not change results.</param>
    /// <param name="cancellation">Checked often.</param>
    public static SingularValues Of(Matrix a, int rank, ulong seed, int threads, CancellationToken cancellation = default)
    {
        int least = Math.Min(a.Rows, a.Columns);
        ArgumentOutOfRangeException.ThrowIfNegative(rank);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rank, least);
        int wanted = rank + Math.Max(LeastOversampling, rank / 8);
        return least <= MaxExact || wanted >= least ? Exact(a, rank, threads, cancellation) : Random(a, rank, wanted, seed, threads, cancellation);
    }

    /// <summary>By QR and Jacobi.</summary>
    internal static SingularValues Exact(Matrix a, int rank, int threads, CancellationToken cancellation)
    {
        bool wide = a.Rows < a.Columns;

        // Vectors along the longer side: the rows of the matrix, or of its transpose.
        Matrix q = wide ? a.Top(a.Rows) : a.Transposed();
        using Matrix r = HouseholderQr.Factor(q, threads, cancellation);
        int n = q.Rows;
        using var turns = new Matrix(n, n);
        for (int i = 0; i < n; i++)
        {
            turns[i, i] = 1;
        }

        // The vectors are R^T q. Rows of R turn into s_i x_i and the identity into y_i, so R = sum of s_i y_i x_i^T.
        OneSidedJacobi.Run(r, turns, threads, cancellation);
        double[] lengths = [.. Enumerable.Range(0, n).Select(i => Math.Sqrt(VectorMath.Dot(r.Row(i), r.Row(i))))];
        int[] order = [.. Enumerable.Range(0, n).OrderByDescending(i => lengths[i]).ThenBy(i => i).Take(rank)];
        var shortSide = new Matrix(rank, n);
        using var turned = new Matrix(rank, n);
        for (int i = 0; i < rank; i++)
        {
            double length = lengths[order[i]];
            VectorMath.AddScaled(r.Row(order[i]), length > 0 ? 1 / length : 0, shortSide.Row(i));
            turns.Row(order[i]).CopyTo(turned.Row(i));
        }

        Matrix longSide = MatrixProduct.Of(turned, false, q, false, threads, cancellation);
        q.Dispose();
        double[] values = [.. order.Select(i => lengths[i])];
        return wide ? new SingularValues(shortSide, values, longSide, a.SumOfSquares()) : new SingularValues(longSide, values, shortSide, a.SumOfSquares());
    }

    /// <summary>By random projection.</summary>
    internal static SingularValues Random(Matrix a, int rank, int wanted, ulong seed, int threads, CancellationToken cancellation)
    {
        Matrix basis = Signs(wanted, a.Columns, seed);
        for (int i = 0; i <= PowerIterations; i++)
        {
            Step(ref basis, a, transposed: true, threads, cancellation);
            if (i < PowerIterations)
            {
                Step(ref basis, a, transposed: false, threads, cancellation);
            }
        }

        using (basis)
        {
            using Matrix small = MatrixProduct.Of(basis, false, a, false, threads, cancellation);
            using SingularValues inner = Exact(small, rank, threads, cancellation);
            Matrix left = MatrixProduct.Of(inner.Left, false, basis, false, threads, cancellation);
            return new SingularValues(left, [.. inner.Values], inner.Right.Top(rank), a.SumOfSquares());
        }
    }

    /// <summary>Gives memory back.</summary>
    public void Dispose()
    {
        Left.Dispose();
        Right.Dispose();
    }

    /// <summary>basis = orthonormal rows of basis A^T or basis A.</summary>
    private static void Step(ref Matrix basis, Matrix a, bool transposed, int threads, CancellationToken cancellation)
    {
        Matrix next = MatrixProduct.Of(basis, false, a, transposed, threads, cancellation);
        basis.Dispose();
        HouseholderQr.Factor(next, threads, cancellation).Dispose();
        basis = next;
    }

    /// <summary>+1 and -1 by a counter through SplitMix64 (Steele, Lea and Flood, 2014).</summary>
    private static Matrix Signs(int rows, int columns, ulong seed)
    {
        var signs = new Matrix(rows, columns);
        ulong state = seed;
        for (int row = 0; row < rows; row++)
        {
            foreach (ref double value in signs.Row(row))
            {
                state += 0x9E3779B97F4A7C15;
                ulong z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9;
                z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
                value = (z >> 63) == 0 ? 1 : -1;
            }
        }

        return signs;
    }
}
