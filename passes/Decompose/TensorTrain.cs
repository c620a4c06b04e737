using ModelPack.Compiler.Linear;
using ModelPack.Structures;

namespace ModelPack.Passes;

/// <summary>
/// A matrix as a tensor train over factors of rows and columns (TT-SVD: Oseledets, 2011), and its improvement by alternating least squares. Element (n, k) with digits o_1 ... and i_1 ... is element (o_1, i_1, o_2, i_2, ...) of a
/// tensor. Core k is [r_{k-1}, o_k i_k r_k] here.
/// </summary>
internal sealed class TensorTrain : IDisposable
{
    /// <summary>Conjugate-gradient steps for one core.</summary>
    private const int CoreSteps = 12;

    private readonly int _threads;
    private readonly CancellationToken _cancellation;

    private TensorTrain(MpoShape shape, int rows, int columns, Matrix[] cores, double discarded, int threads, CancellationToken cancellation)
    {
        (Shape, Rows, Columns, Cores, Discarded) = (shape, rows, columns, cores, discarded);
        (_threads, _cancellation) = (threads, cancellation);
    }

    /// <summary>Factors and ranks.</summary>
    public MpoShape Shape { get; }

    /// <summary>N.</summary>
    public int Rows { get; }

    /// <summary>K.</summary>
    public int Columns { get; }

    /// <summary>Core k: [r_{k-1}, o_k i_k r_k].</summary>
    public Matrix[] Cores { get; }

    /// <summary>The sum of the squares of all singular values that were cut off: no less than the squared error.</summary>
    public double Discarded { get; }

    /// <summary>TT-SVD.</summary>
    /// <param name="matrix">[N, K].</param>
    /// <param name="shape">Factors, and ranks that are not exceeded.</param>
    /// <param name="seed">Of randomised decompositions.</param>
    /// <param name="threads">Worker threads.</param>
    /// <param name="cancellation">Stops.</param>
    public static TensorTrain Of(Matrix matrix, MpoShape shape, ulong seed, int threads, CancellationToken cancellation)
    {
        var cores = new Matrix[shape.Sites];
        Matrix rest = ToTensor(matrix, shape, 1);
        double discarded = 0;
        for (int k = 0; k < shape.Sites - 1; k++)
        {
            // [r_{k-1} o_k i_k, all after], cut to r_k.
            int rank = shape.Ranks[k];
            Matrix unfolded = Reshape(rest, shape.Before(k) * shape.Rows[k] * shape.Columns[k]);
            rest.Dispose();
            using SingularValues svd = SingularValues.Of(unfolded, Math.Min(rank, Math.Min(unfolded.Rows, unfolded.Columns)), seed + (ulong)k, threads, cancellation);
            discarded += svd.Discarded(svd.Values.Count);
            using Matrix left = svd.Left.Transposed();
            cores[k] = new Matrix(shape.Before(k), shape.Rows[k] * shape.Columns[k] * rank);
            rest = new Matrix(rank, unfolded.Columns);
            for (int row = 0; row < left.Rows; row++)
            {
                int at = row % (shape.Rows[k] * shape.Columns[k]);
                left.Row(row).CopyTo(cores[k].Row(row / (shape.Rows[k] * shape.Columns[k]))[(at * rank)..]);
            }

            for (int i = 0; i < svd.Values.Count; i++)
            {
                VectorMath.AddScaled(svd.Right.Row(i), svd.Values[i], rest.Row(i));
            }

            unfolded.Dispose();
        }

        cores[^1] = rest;
        return new TensorTrain(shape, matrix.Rows, matrix.Columns, cores, discarded, threads, cancellation);
    }

    /// <summary>Squared singular values that a rank cuts off at every bond of the matrix itself, summed: no less than the squared error of a TT-SVD of that rank.</summary>
    public static double[] Bounds(Matrix matrix, RankShape shape, IReadOnlyList<int> ranks, ulong seed, int threads, CancellationToken cancellation)
    {
        double[] bounds = new double[ranks.Count];
        MpoShape train = shape.Train(int.MaxValue);
        using Matrix tensor = ToTensor(matrix, train, 1);
        for (int k = 0; k < train.Sites - 1; k++)
        {
            long before = MpoShape.Product(train.Rows.AsSpan(0, k + 1)) * MpoShape.Product(train.Columns.AsSpan(0, k + 1));
            using Matrix unfolded = Reshape(tensor, checked((int)before));
            int most = (int)Math.Min(Math.Min(unfolded.Rows, unfolded.Columns), ranks.Count == 0 ? 0 : ranks[^1]);
            using SingularValues svd = SingularValues.Of(unfolded, most, seed + (ulong)k, threads, cancellation);
            for (int i = 0; i < bounds.Length; i++)
            {
                bounds[i] += svd.Discarded(Math.Min(ranks[i], most));
            }
        }

        return bounds;
    }

    /// <summary>The matrix that the cores make, [N, K].</summary>
    public Matrix Materialise()
    {
        using Matrix tensor = Tensor(Left(Shape.Sites), null);
        return FromTensor(tensor, Shape, Rows, Columns);
    }

    /// <summary>
    /// Alternating least squares: every core in turn becomes the one with the least squared error of outputs, ||(W - train) X||, all others held; by conjugate gradients. The error never grows.
    /// </summary>
    /// <param name="target">W (H + D) where D is the drift: what the product of the train and H must be, [N, K].</param>
    /// <param name="moments">H, [K, K].</param>
    /// <param name="rounds">Over all cores.</param>
    public void Heal(Matrix target, Matrix moments, int rounds)
    {
        for (int round = 0; round < rounds; round++)
        {
            for (int site = 0; site < Shape.Sites; site++)
            {
                HealCore(site, target, moments);
            }
        }
    }

    /// <summary>Core k as stored: [o_k r_k, r_{k-1} i_k].</summary>
    public Matrix Stored(int site)
    {
        int o = Shape.Rows[site];
        int i = Shape.Columns[site];
        int after = Shape.After(site);
        int before = Shape.Before(site);
        var stored = new Matrix(o * after, before * i);
        for (int r = 0; r < before; r++)
        {
            ReadOnlySpan<double> from = Cores[site].Row(r);
            for (int at = 0; at < from.Length; at++)
            {
                int right = at % after;
                int column = at / after % i;
                stored[(at / after / i * after) + right, (r * i) + column] = from[at];
            }
        }

        return stored;
    }

    public void Dispose()
    {
        foreach (Matrix core in Cores)
        {
            core.Dispose();
        }
    }

    private void HealCore(int site, Matrix target, Matrix moments)
    {
        using Matrix left = Left(site);
        using Matrix right = Right(site);
        Matrix core = Cores[site];
        using Matrix residual = Gradient(left, right, site, target, moments, core);
        using Matrix direction = residual.Top(residual.Rows);
        double energy = residual.SumOfSquares();
        double enough = 1e-12 * energy;
        for (int step = 0; step < CoreSteps && energy > enough; step++)
        {
            using Matrix product = Gradient(left, right, site, null, moments, direction);
            double curvature = Inner(direction, product);
            if (!(curvature > 0))
            {
                return;
            }

            double length = energy / curvature;
            for (int row = 0; row < core.Rows; row++)
            {
                VectorMath.AddScaled(direction.Row(row), length, core.Row(row));
                VectorMath.AddScaled(product.Row(row), -length, residual.Row(row));
            }

            double next = residual.SumOfSquares();
            double turn = next / energy;
            energy = next;
            for (int row = 0; row < core.Rows; row++)
            {
                Span<double> to = direction.Row(row);
                ReadOnlySpan<double> from = residual.Row(row);
                for (int i = 0; i < to.Length; i++)
                {
                    to[i] = from[i] + (turn * to[i]);
                }
            }
        }
    }

    /// <summary>With a target, L^T (target - (L core R) H) R^T; without, L^T ((L core R) H) R^T.</summary>
    private Matrix Gradient(Matrix left, Matrix right, int site, Matrix? target, Matrix moments, Matrix core)
    {
        using Matrix tensor = Tensor(left, right, core, site);
        using Matrix matrix = FromTensor(tensor, Shape, Rows, Columns);
        using Matrix product = MatrixProduct.Of(matrix, false, moments, false, _threads, _cancellation);
        if (target is not null)
        {
            for (int row = 0; row < product.Rows; row++)
            {
                Span<double> to = product.Row(row);
                ReadOnlySpan<double> wanted = target.Row(row);
                for (int i = 0; i < to.Length; i++)
                {
                    to[i] = wanted[i] - to[i];
                }
            }
        }

        using Matrix spread = ToTensor(product, Shape, left.Rows);
        using Matrix onto = MatrixProduct.Of(left, true, spread, false, _threads, _cancellation);
        using Matrix folded = Reshape(onto, onto.Rows * Shape.Rows[site] * Shape.Columns[site]);
        using Matrix result = MatrixProduct.Of(folded, false, right, true, _threads, _cancellation);
        return Reshape(result, core.Rows);
    }

    private static double Inner(Matrix a, Matrix b)
    {
        double sum = 0;
        for (int row = 0; row < a.Rows; row++)
        {
            sum += VectorMath.Dot(a.Row(row), b.Row(row));
        }

        return sum;
    }

    /// <summary>The product of the cores before a site: [o_1 i_1 ... , r].</summary>
    private Matrix Left(int site)
    {
        var left = new Matrix(1, 1);
        left[0, 0] = 1;
        for (int k = 0; k < site; k++)
        {
            using Matrix before = left;
            using Matrix product = MatrixProduct.Of(before, false, Cores[k], false, _threads, _cancellation);
            left = Reshape(product, before.Rows * Shape.Rows[k] * Shape.Columns[k]);
        }

        return left;
    }

    /// <summary>The product of the cores after a site: [r, o i ...].</summary>
    private Matrix Right(int site)
    {
        var right = new Matrix(1, 1);
        right[0, 0] = 1;
        for (int k = Shape.Sites - 1; k > site; k--)
        {
            using Matrix after = right;
            using Matrix folded = Reshape(Cores[k], Cores[k].Rows * Shape.Rows[k] * Shape.Columns[k]);
            using Matrix product = MatrixProduct.Of(folded, false, after, false, _threads, _cancellation);
            right = Reshape(product, Cores[k].Rows);
        }

        return right;
    }

    /// <summary>All elements in the order of the tensor, from left and right parts around a core.</summary>
    private Matrix Tensor(Matrix left, Matrix? right, Matrix? core = null, int site = 0)
    {
        if (right is null)
        {
            using Matrix all = left;
            return Reshape(all, 1);
        }

        using Matrix folded = Reshape(core!, core!.Rows * Shape.Rows[site] * Shape.Columns[site]);
        using Matrix half = MatrixProduct.Of(folded, false, right, false, _threads, _cancellation);
        using Matrix wide = Reshape(half, core.Rows);
        return MatrixProduct.Of(left, false, wide, false, _threads, _cancellation);
    }

    /// <summary>The same elements in the same order with another number of rows.</summary>
    private static Matrix Reshape(Matrix matrix, int rows)
    {
        long elements = (long)matrix.Rows * matrix.Columns;
        var result = new Matrix(rows, checked((int)(elements / rows)));
        if (elements > 0)
        {
            matrix.Part(0, 0, matrix.Rows - 1, matrix.Columns).CopyTo(result.Part(0, 0, rows - 1, result.Columns));
        }

        return result;
    }

    /// <summary>Elements of a matrix in the order of the tensor, zero where it is filled up.</summary>
    private static Matrix ToTensor(Matrix matrix, MpoShape shape, int rows)
    {
        (int[] ofRow, int[] ofColumn) = Places(shape, matrix.Rows, matrix.Columns);
        long elements = MpoShape.Product(shape.Rows) * MpoShape.Product(shape.Columns);
        var tensor = new Matrix(rows, checked((int)(elements / rows)));
        Span<double> to = tensor.Part(0, 0, rows - 1, tensor.Columns);
        for (int n = 0; n < matrix.Rows; n++)
        {
            ReadOnlySpan<double> from = matrix.Row(n);
            for (int k = 0; k < from.Length; k++)
            {
                to[ofRow[n] + ofColumn[k]] = from[k];
            }
        }

        return tensor;
    }

    /// <summary>The inverse.</summary>
    private static Matrix FromTensor(Matrix tensor, MpoShape shape, int rows, int columns)
    {
        (int[] ofRow, int[] ofColumn) = Places(shape, rows, columns);
        var matrix = new Matrix(rows, columns);
        ReadOnlySpan<double> from = tensor.Part(0, 0, tensor.Rows - 1, tensor.Columns);
        for (int n = 0; n < rows; n++)
        {
            Span<double> to = matrix.Row(n);
            for (int k = 0; k < columns; k++)
            {
                to[k] = from[ofRow[n] + ofColumn[k]];
            }
        }

        return matrix;
    }

    /// <summary>What a row and what a column add to the place of an element in the tensor.</summary>
    private static (int[] OfRow, int[] OfColumn) Places(MpoShape shape, int rows, int columns)
    {
        int[] ofRow = new int[rows];
        int[] ofColumn = new int[columns];
        int stride = 1;
        int rowUnit = 1;
        int columnUnit = 1;
        for (int k = shape.Sites - 1; k >= 0; k--)
        {
            for (int c = 0; c < columns; c++)
            {
                ofColumn[c] += c / columnUnit % shape.Columns[k] * stride;
            }

            stride = checked(stride * shape.Columns[k]);
            for (int r = 0; r < rows; r++)
            {
                ofRow[r] += r / rowUnit % shape.Rows[k] * stride;
            }

            stride = checked(stride * shape.Rows[k]);
            rowUnit *= shape.Rows[k];
            columnUnit *= shape.Columns[k];
        }

        return (ofRow, ofColumn);
    }
}
