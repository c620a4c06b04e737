namespace ModelPack.Compiler.Linear;

/// <summary>
/// QR factorisation by Householder reflections, in blocks (compact WY form: Schreiber and Van Loan, 1989), of vectors that are the rows of a matrix: y_j = sum over i &lt;= j of R[i, j] q_i. Rows keep vectors contiguous, which is
/// what products on this side need. Works for dependent vectors too; q is orthonormal all the same.
/// </summary>
public static class HouseholderQr
{
    private const int Block = 32;

    /// <summary>Factors vectors.</summary>
    /// <param name="vectors">[l, m] with l &lt;= m; becomes the orthonormal q, [l, m].</param>
    /// <param name="threads">Worker threads; do not change results.</param>
    /// <param name="cancellation">Checked once per block.</param>
    /// <returns>R, [l, l], upper triangular; the caller's to dispose.</returns>
    public static Matrix Factor(Matrix vectors, int threads, CancellationToken cancellation = default)
    {
        int l = vectors.Rows;
        int m = vectors.Columns;
        ArgumentOutOfRangeException.ThrowIfGreaterThan(l, m);
        var r = new Matrix(l, l);
        var blocks = new Stack<(int First, Matrix V, Matrix T)>();
        for (int first = 0; first < l; first += Block)
        {
            int count = Math.Min(Block, l - first);
            (Matrix v, Matrix t) = Reflect(vectors, first, count);
            blocks.Push((first, v, t));
            Apply(vectors, first + count, v, t, transposed: false, threads, cancellation);
        }

        for (int row = 0; row < l; row++)
        {
            for (int i = 0; i <= row; i++)
            {
                r[i, row] = vectors[row, i];
            }

            vectors.Row(row).Clear();
            vectors[row, row] = 1;
        }

        foreach ((int first, Matrix v, Matrix t) in blocks)
        {
            // Rows before the block do not meet its reflections: they are zero there.
            Apply(vectors, first, v, t, transposed: true, threads, cancellation);
            v.Dispose();
            t.Dispose();
        }

        return r;
    }

    /// <summary>Reflects rows first..first+count so that they end at the diagonal; gives V [count, m], rows v_i with v_i[first + i] = 1, and T [count, count] with H_1 H_2 ... = I - V^T T V.</summary>
    private static (Matrix V, Matrix T) Reflect(Matrix y, int first, int count)
    {
        var v = new Matrix(count, y.Columns);
        var t = new Matrix(count, count);
        for (int i = 0; i < count; i++)
        {
            Span<double> x = y.Row(first + i)[(first + i)..];
            Span<double> reflection = v.Row(i)[(first + i)..];
            double tail = VectorMath.Dot(x[1..], x[1..]);
            double tau = 0;
            reflection[0] = 1;
            if (tail > 0)
            {
                double norm = Math.Sqrt((x[0] * x[0]) + tail);
                double beta = x[0] > 0 ? -norm : norm;
                tau = (beta - x[0]) / beta;
                double scale = 1 / (x[0] - beta);
                for (int j = 1; j < x.Length; j++)
                {
                    reflection[j] = x[j] * scale;
                }

                x.Clear();
                x[0] = beta;
            }

            for (int next = i + 1; next < count; next++)
            {
                Span<double> row = y.Row(first + next)[(first + i)..];
                VectorMath.AddScaled(reflection, -tau * VectorMath.Dot(reflection, row), row);
            }

            // T grows by a column: -tau T (V v_i), tau.
            for (int j = 0; j < i; j++)
            {
                double sum = 0;
                for (int k = j; k < i; k++)
                {
                    sum += t[j, k] * VectorMath.Dot(v.Row(k)[(first + i)..], reflection);
                }

                t[j, i] = -tau * sum;
            }

            t[i, i] = tau;
        }

        return (v, t);
    }

    /// <summary>Rows from <paramref name="from"/> on: y -= ((y V^T) T) V, or with T^T.</summary>
    private static void Apply(Matrix y, int from, Matrix v, Matrix t, bool transposed, int threads, CancellationToken cancellation)
    {
        if (from >= y.Rows)
        {
            return;
        }

        using var rows = new Matrix(y.Rows - from, y.Columns);
        y.Part(from, 0, y.Rows - 1, y.Columns).CopyTo(rows.Part(0, 0, rows.Rows - 1, rows.Columns));
        using Matrix onto = MatrixProduct.Of(rows, false, v, true, threads, cancellation);
        using Matrix turned = MatrixProduct.Of(onto, false, t, transposed, threads, cancellation);
        MatrixProduct.Add(turned, false, v, false, y, from, threads, subtract: true, cancellation);
    }
}
