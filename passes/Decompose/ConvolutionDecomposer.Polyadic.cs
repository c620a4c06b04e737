using ModelPack.Compiler.Linear;

namespace ModelPack.Passes;

/// <content>CP: sums of products of three vectors.</content>
internal sealed partial class ConvolutionDecomposer
{
    /// <summary>CP: B [O, P], S [P, K], A [P, I].</summary>
    public (Matrix Outputs, Matrix Kernels, Matrix Inputs) Polyadic(Matrix weights, int rank)
    {
        Matrix outputs = Start(sizes.Outputs, rank, 1);
        Matrix kernels = Start(sizes.Kernel, rank, 2);
        Matrix inputs = Start(sizes.Inputs, rank, 3);
        for (int round = 0; round < Rounds; round++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            Replace(ref outputs, Solve(weights, 0, inputs, kernels));
            Replace(ref kernels, Solve(weights, 1, outputs, inputs));
            Normalise(kernels);
            Replace(ref inputs, Solve(weights, 2, outputs, kernels));
            Normalise(inputs);
        }

        // Rows of what filters are combinations of, [P, I K], and the outputs' shares of them by the data.
        using Matrix a = inputs.Transposed();
        using Matrix s = kernels.Transposed();
        using var basis = new Matrix(rank, sizes.Inputs * sizes.Kernel);
        for (int p = 0; p < rank; p++)
        {
            for (int i = 0; i < sizes.Inputs; i++)
            {
                VectorMath.AddScaled(s.Row(p), a[p, i], basis.Row(p).Slice(i * sizes.Kernel, sizes.Kernel));
            }
        }

        using Matrix gram = Gram(basis);
        using var factor = new GramFactor(gram, context.Threads, context.Cancellation);
        Replace(ref outputs, MatrixProduct.Of(wanted, false, basis, true, context.Threads, context.Cancellation));
        factor.SolveHalf(outputs);
        factor.Unwhiten(outputs);
        kernels.Dispose();
        inputs.Dispose();
        return (outputs, s.Top(rank), a.Top(rank));
    }

    /// <summary>Least squares of one factor of a kernel [O, I K], the two others held: outputs (0) from inputs and kernels, kernels (1) from outputs and inputs, inputs (2) from outputs and kernels. Factors are [side, P].</summary>
    private Matrix Solve(Matrix weights, int mode, Matrix first, Matrix second)
    {
        int rank = first.Columns;
        int side = mode switch { 0 => sizes.Outputs, 1 => sizes.Kernel, _ => sizes.Inputs };
        var solved = new Matrix(side, rank);
        double[] pair = new double[rank];
        for (int o = 0; o < sizes.Outputs; o++)
        {
            for (int i = 0; i < sizes.Inputs; i++)
            {
                for (int e = 0; e < sizes.Kernel; e++)
                {
                    (int row, int a, int b) = mode switch { 0 => (o, i, e), 1 => (e, o, i), _ => (i, o, e) };
                    ReadOnlySpan<double> x = first.Row(a);
                    ReadOnlySpan<double> y = second.Row(b);
                    for (int p = 0; p < pair.Length; p++)
                    {
                        pair[p] = x[p] * y[p];
                    }

                    VectorMath.AddScaled(pair, weights[o, (i * sizes.Kernel) + e], solved.Row(row));
                }
            }
        }

        using Matrix gram = MatrixProduct.Of(first, true, first, false, context.Threads, context.Cancellation);
        using Matrix other = MatrixProduct.Of(second, true, second, false, context.Threads, context.Cancellation);
        for (int p = 0; p < rank; p++)
        {
            for (int q = 0; q < rank; q++)
            {
                gram[p, q] *= other[p, q];
            }
        }

        using var factor = new GramFactor(gram, context.Threads, context.Cancellation);
        factor.SolveHalf(solved);
        factor.Unwhiten(solved);
        return solved;
    }

    /// <summary>Columns of length 1, or 0.</summary>
    private static void Normalise(Matrix factor)
    {
        for (int p = 0; p < factor.Columns; p++)
        {
            double sum = 0;
            for (int row = 0; row < factor.Rows; row++)
            {
                sum += factor[row, p] * factor[row, p];
            }

            double scale = sum > 0 ? 1 / Math.Sqrt(sum) : 0;
            for (int row = 0; row < factor.Rows; row++)
            {
                factor[row, p] *= scale;
            }
        }
    }

    /// <summary>Numbers from -1 to 1 by a counter through SplitMix64 (Steele, Lea and Flood, 2014).</summary>
    private Matrix Start(int rows, int columns, ulong stream)
    {
        var start = new Matrix(rows, columns);
        ulong state = context.PassSeed + (stream << 48);
        for (int row = 0; row < rows; row++)
        {
            foreach (ref double value in start.Row(row))
            {
                state += 0x9E3779B97F4A7C15;
                ulong z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9;
                z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
                value = ((z >> 11) / (double)(1L << 52)) - 1;
            }
        }

        return start;
    }
}
