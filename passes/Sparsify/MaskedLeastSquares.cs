namespace ModelPack.Passes;

/// <summary>
/// The weights that are kept, in closed form: for every row x the solution of (x H = g on the kept places, x = 0 elsewhere), which makes the squared error of the outputs least. Solved by conjugate gradients with the diagonal
/// as preconditioner, each row by itself, so that results depend neither on how rows are cut into tiles nor on threads.
/// </summary>
internal static class MaskedLeastSquares
{
    /// <summary>A row is done when its residual is this small a part of what it was for x = 0.</summary>
    private const double Enough = 1e-10;

    /// <summary>Improves the weights.</summary>
    /// <param name="moments">H.</param>
    /// <param name="target">g, [rows, K].</param>
    /// <param name="mask">Which places are kept.</param>
    /// <param name="x">[rows, K]: a start, zero where nothing is kept; becomes the solution.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="iterations">At most so many.</param>
    /// <param name="threads">Worker threads.</param>
    /// <param name="cancellation">Stops.</param>
    public static void Solve(InputMoments moments, float[] target, PruneMask mask, float[] x, int rows, int iterations, int threads, CancellationToken cancellation)
    {
        int size = moments.Size;
        float[] diagonal = moments.Diagonal();
        void Solve(int first, int count)
        {
            int at = first * size;
            float[] kept = new float[count * size];
            mask.Places(first, count, kept);
            Tile(moments, diagonal, target.AsSpan(at, count * size), kept, x.AsSpan(at, count * size), count, iterations);
        }

        RowTiles.Run(rows, 1, threads, Solve, cancellation);
    }

    private static void Tile(InputMoments moments, float[] diagonal, ReadOnlySpan<float> target, ReadOnlySpan<float> kept, Span<float> x, int rows, int iterations)
    {
        int size = moments.Size;
        float[] residual = new float[rows * size];
        float[] direction = new float[rows * size];
        float[] product = new float[rows * size];
        double[] energy = new double[rows];
        double[] least = new double[rows];
        moments.Multiply(x, rows, product);
        for (int r = 0; r < rows; r++)
        {
            for (int i = r * size; i < (r + 1) * size; i++)
            {
                residual[i] = kept[i] * (target[i] - product[i]);
                direction[i] = residual[i] / diagonal[i - (r * size)];
                energy[r] += (double)residual[i] * direction[i];
                least[r] += Enough * kept[i] * target[i] * ((double)target[i] / diagonal[i - (r * size)]);
            }
        }

        for (int n = 0; n < iterations && AnyAbove(energy, least); n++)
        {
            moments.Multiply(direction, rows, product);
            for (int r = 0; r < rows; r++)
            {
                if (energy[r] > least[r])
                {
                    Step(r * size, size, diagonal, kept, x, residual, direction, product, ref energy[r]);
                }
            }
        }
    }

    /// <summary>One step of one row.</summary>
    private static void Step(int start, int size, float[] diagonal, ReadOnlySpan<float> kept, Span<float> x, float[] residual, float[] direction, float[] product, ref double energy)
    {
        double curvature = 0;
        for (int i = start; i < start + size; i++)
        {
            curvature += (double)direction[i] * product[i];
        }

        if (!(curvature > 0))
        {
            energy = 0;
            return;
        }

        float length = (float)(energy / curvature);
        double next = 0;
        for (int i = start; i < start + size; i++)
        {
            x[i] += length * direction[i];
            residual[i] -= length * kept[i] * product[i];
            next += (double)residual[i] * residual[i] / diagonal[i - start];
        }

        float turn = (float)(next / energy);
        energy = next;
        for (int i = start; i < start + size; i++)
        {
            direction[i] = (residual[i] / diagonal[i - start]) + (turn * direction[i]);
        }
    }

    private static bool AnyAbove(double[] values, double[] limits)
    {
        for (int i = 0; i < values.Length; i++)
        {
            if (values[i] > limits[i])
            {
                return true;
            }
        }

        return false;
    }
}
