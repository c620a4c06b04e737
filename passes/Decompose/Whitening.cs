using ModelPack.Compiler.Linear;

namespace ModelPack.Passes;

/// <summary>
/// Coordinates in which the squared error of a layer's outputs on the calibration data is that of its weights: H = V^T V, ||E X||^2 = ||E V^T||^2 (SVD-LLM, arXiv 2403.07378). Safe to use from several threads.
/// </summary>
internal sealed class Whitening : IDisposable
{
    private const int TileRows = 16;

    private readonly InputMoments _moments;
    private readonly UpperTriangle? _factor;
    private readonly int _threads;
    private readonly CancellationToken _cancellation;

    /// <param name="moments">Of the input; stay the caller's.</param>
    /// <param name="isIdentity">True when they are the identity: no data, or data that are not to count.</param>
    /// <param name="threads">Worker threads.</param>
    /// <param name="cancellation">Stops.</param>
    /// <exception cref="ModelPackException">MP2216: the moments have no factor.</exception>
    public Whitening(InputMoments moments, bool isIdentity, int threads, CancellationToken cancellation)
    {
        (_moments, _threads, _cancellation) = (moments, threads, cancellation);
        if (isIdentity)
        {
            return;
        }

        int size = moments.Size;
        _factor = new UpperTriangle(size);
        for (int row = 0; row < size; row++)
        {
            Span<double> to = _factor.Row(row);
            ReadOnlySpan<float> from = moments.Moments.Slice((row * size) + row, size - row);
            for (int i = 0; i < to.Length; i++)
            {
                to[i] = from[i];
            }
        }

        if (UpperCholesky.Factor(_factor, threads, cancellation) >= 0)
        {
            _factor.Dispose();
            throw new ModelPackException(ErrorCodes.SingularMoments, "the second moments of an input cannot be inverted: a larger option 'damping_permille' may help");
        }
    }

    /// <summary>K.</summary>
    public int Size => _moments.Size;

    /// <summary>H.</summary>
    public InputMoments Moments => _moments;

    /// <summary>
    /// The weights whose outputs are to be met, in these coordinates: W V^T, or where the inputs are not those of the model as it was, (W (H + D)) V^-1, the whitened least-squares solution of any rank.
    /// </summary>
    /// <param name="weights">[rows, K].</param>
    /// <param name="rows">Rows.</param>
    public Matrix Target(float[] weights, int rows)
    {
        var target = new Matrix(rows, Size);
        if (_factor is null)
        {
            for (int row = 0; row < rows; row++)
            {
                Widen(weights.AsSpan(row * Size, Size), target.Row(row));
            }

            return target;
        }

        float[] product = new float[rows * Size];
        _moments.Target(weights, rows, product, _threads, _cancellation);
        ForTiles(rows, (first, count) =>
        {
            for (int row = first; row < first + count; row++)
            {
                Widen(product.AsSpan(row * Size, Size), target.Row(row));
            }

            // m V = t, column after column.
            for (int j = 0; j < Size; j++)
            {
                Span<double> pivot = _factor.Row(j);
                for (int row = first; row < first + count; row++)
                {
                    Span<double> to = target.Row(row);
                    to[j] /= pivot[0];
                    VectorMath.AddScaled(pivot[1..], -to[j], to[(j + 1)..]);
                }
            }
        });
        return target;
    }

    /// <summary>Rows of weights in these coordinates, in place: a V^T.</summary>
    public void Whiten(Matrix rows)
    {
        if (_factor is null)
        {
            return;
        }

        ForTiles(rows.Rows, (first, count) =>
        {
            for (int row = first; row < first + count; row++)
            {
                Span<double> to = rows.Row(row);
                for (int j = 0; j < Size; j++)
                {
                    to[j] = VectorMath.Dot(_factor.Row(j), to[j..]);
                }
            }
        });
    }

    /// <summary>Rows back as weights: a V^T = z is solved in place.</summary>
    public void Unwhiten(Matrix rows)
    {
        if (_factor is null)
        {
            return;
        }

        ForTiles(rows.Rows, (first, count) =>
        {
            for (int j = Size - 1; j >= 0; j--)
            {
                Span<double> pivot = _factor.Row(j);
                for (int row = first; row < first + count; row++)
                {
                    Span<double> to = rows.Row(row);
                    to[j] = (to[j] - VectorMath.Dot(pivot[1..], to[(j + 1)..])) / pivot[0];
                }
            }
        });
    }

    public void Dispose() => _factor?.Dispose();

    private static void Widen(ReadOnlySpan<float> from, Span<double> to)
    {
        for (int i = 0; i < to.Length; i++)
        {
            to[i] = from[i];
        }
    }

    private void ForTiles(int rows, Action<int, int> work) =>
        Parallel.For(0, (rows + TileRows - 1) / TileRows, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, _threads), CancellationToken = _cancellation }, tile =>
            work(tile * TileRows, Math.Min(TileRows, rows - (tile * TileRows))));
}
