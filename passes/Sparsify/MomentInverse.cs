using ModelPack.Compiler.Linear;

namespace ModelPack.Passes;

/// <summary>Parts of the inverse of second moments.</summary>
internal static class MomentInverse
{
    /// <summary>See <see cref="InputMoments.Costs"/>.</summary>
    public static float[] BlockCosts(ReadOnlySpan<float> moments, int size, int width, int threads, CancellationToken cancellation)
    {
        using NativeArray<double> root = InverseFactor(moments, size, threads, cancellation);
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
                    double value = i < count ? Dot(root.Slice(((long)(first + i) * size) + first + i, size - first - i), root.Slice(((long)(first + j) * size) + first + i, size - first - i)) : i == j ? 1 : 0;
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

    /// <summary>M = V^-1, upper triangular, for H = V^T V, so that H^-1 = M M^T.</summary>
    private static NativeArray<double> InverseFactor(ReadOnlySpan<float> moments, int size, int threads, CancellationToken cancellation)
    {
        using var factor = new UpperTriangle(size);
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
            throw new ModelPackException(ErrorCodes.SingularMoments, "the second moments of an input cannot be inverted: a larger option 'damping_permille' may help");
        }

        var inverse = new NativeArray<double>((long)size * size);
        for (int row = size - 1; row >= 0; row--)
        {
            cancellation.ThrowIfCancellationRequested();
            Span<double> above = factor.Row(row);
            Span<double> to = inverse.Slice((long)row * size, size);
            to.Clear();
            int rest = size - 1 - row;
            if (rest > 0)
            {
                SumOfProducts.Run<double>(above[1..], 1, 1, inverse.Slice(((long)(row + 1) * size) + row + 1, (rest * size) - row - 1), size, to[(row + 1)..], size, rest, 1, rest, subtract: true);
            }

            to[row] = 1;
            foreach (ref double value in to[row..])
            {
                value /= above[0];
            }
        }

        return inverse;
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
