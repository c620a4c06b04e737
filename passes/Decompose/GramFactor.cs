using ModelPack.Compiler.Linear;

namespace ModelPack.Passes;

/// <summary>G = V^T V of a symmetric matrix that is at least positive semidefinite; what is singular in it is filled up a little. Rows are taken into the coordinates of V and back.</summary>
internal sealed class GramFactor : IDisposable
{
    /// <summary>What is added to the diagonal, in parts of its mean; a thousand times as much when that is too little.</summary>
    private const double LeastRidge = 1e-12;

    private readonly UpperTriangle _factor;

    /// <param name="gram">[n, n].</param>
    /// <param name="threads">Worker threads.</param>
    /// <param name="cancellation">Stops.</param>
    /// <exception cref="ModelPackException">MP2216: not finite.</exception>
    public GramFactor(Matrix gram, int threads, CancellationToken cancellation)
    {
        int size = gram.Rows;
        double mean = 0;
        for (int i = 0; i < size; i++)
        {
            mean += gram[i, i] / size;
        }

        for (double ridge = LeastRidge; ridge <= 1; ridge *= 1000)
        {
            var factor = new UpperTriangle(size);
            for (int row = 0; row < size; row++)
            {
                gram.Row(row)[row..].CopyTo(factor.Row(row));
                factor.Row(row)[0] += (mean * ridge) + double.Epsilon + 1e-200;
            }

            if (UpperCholesky.Factor(factor, threads, cancellation) < 0)
            {
                _factor = factor;
                return;
            }

            factor.Dispose();
        }

        throw new ModelPackException(ErrorCodes.SingularMoments, "the second moments of factors cannot be inverted: a larger option 'damping_permille' may help");
    }

    /// <summary>x V^T in place of every row x.</summary>
    public void Whiten(Matrix rows)
    {
        for (int row = 0; row < rows.Rows; row++)
        {
            Span<double> to = rows.Row(row);
            for (int j = 0; j < to.Length; j++)
            {
                to[j] = VectorMath.Dot(_factor.Row(j), to[j..]);
            }
        }
    }

    /// <summary>y V^-1 in place of every row y: half of the way from x G to x, at x V^T.</summary>
    public void SolveHalf(Matrix rows)
    {
        for (int row = 0; row < rows.Rows; row++)
        {
            Span<double> to = rows.Row(row);
            for (int j = 0; j < to.Length; j++)
            {
                Span<double> pivot = _factor.Row(j);
                to[j] /= pivot[0];
                VectorMath.AddScaled(pivot[1..], -to[j], to[(j + 1)..]);
            }
        }
    }

    /// <summary>z V^-T in place of every row z: the other half.</summary>
    public void Unwhiten(Matrix rows)
    {
        for (int row = 0; row < rows.Rows; row++)
        {
            Span<double> to = rows.Row(row);
            for (int j = to.Length - 1; j >= 0; j--)
            {
                Span<double> pivot = _factor.Row(j);
                to[j] = (to[j] - VectorMath.Dot(pivot[1..], to[(j + 1)..])) / pivot[0];
            }
        }
    }

    public void Dispose() => _factor.Dispose();
}
