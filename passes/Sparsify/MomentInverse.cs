using ModelPack.Compiler.Linear;

namespace ModelPack.Passes;

/// <summary>Parts of the inverse of second moments.</summary>
internal static class MomentInverse
{
    /// <summary>See <see cref="InputMoments.Costs"/>.</summary>
    public static float[] BlockCosts(ReadOnlySpan<float> moments, int size, int width, int threads, CancellationToken cancellation)
    {
        using UpperTriangle root = InverseFactor(moments, size, threads, cancellation);
        int blocks = (size + width - 1) / width;
        float[] costs = new float[checked(blocks * width * width)];
        Parallel.For(0, blocks, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads), CancellationToken = cancellation }, block =>
        {
            int first = block * width;
            int count = Math.Min(width, size - first);
            double[] inner = new double[width * width];
            for (int i = 0; i < width; i++)
            {
                for (int j = 0; j <= i; j++)
                {
                    // H^-1 = M M^T with M upper triangular.
                    double value = i < count ? Dot(root.Row(first + i), root.Row(first + j)[(i - j)..]) : i == j ? 1 : 0;
                    inner[(i * width) + j] = value;
                    inner[(j * width) + i] = value;
                }
            }

            SmallInverse.Run(inner, width);
            Span<float> to = costs.AsSpan(block * width * width, width * width);
            for (int i = 0; i < to.Length; i++)
            {
                to[i] = (float)inner[i];
            }
        });
        return costs;
    }

    /// <summary>M = V^-1, upper triangular, for H = V^T V, so that H^-1 = M M^T; rows take the places of those of V from the last to the first.</summary>
    private static UpperTriangle InverseFactor(ReadOnlySpan<float> moments, int size, int threads, CancellationToken cancellation)
    {
        var factor = new UpperTriangle(size);
        for (int row = 0; row < size; row++)
        {
            Span<double> to = factor.Row(row);
            for (int i = 0; i < to.Length; i++)
            {
                to[i] = moments[(row * size) + row + i];
            }
        }

        if (UpperCholesky.Factor(factor, threads, cancellation) >= 0)
        {
            factor.Dispose();
            throw new ModelPackException(ErrorCodes.SingularMoments, "the second moments of an input cannot be inverted: a larger option 'damping_permille' may help");
        }

        for (int row = size - 1; row >= 0; row--)
        {
            cancellation.ThrowIfCancellationRequested();
            Span<double> to = factor.Row(row);
            double[] above = to.ToArray();
            factor.Rows(row, 1).Clear();
            for (int below = row + 1; below < size;)
            {
                int strip = below / UpperTriangle.Strip * UpperTriangle.Strip;
                int count = Math.Min(size, strip + UpperTriangle.Strip) - below;
                SumOfProducts.Run<double>(
                    above.AsSpan(below - row), 1, 1, factor.Rows(below, count)[(below - strip)..], factor.Width(below), to[(below - row)..], size, count, 1, size - below, subtract: true);
                below += count;
            }

            to[0] = 1;
            foreach (ref double value in to)
            {
                value /= above[0];
            }
        }

        return factor;
    }

    private static double Dot(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        double sum = 0;
        for (int i = 0; i < a.Length; i++)
        {
            sum += a[i] * b[i];
        }

        return sum;
    }
}
