using ModelPack.Compiler;
using ModelPack.Compiler.Linear;
using ModelPack.Structures;

namespace ModelPack.Passes;

/// <summary>
/// Factors of a convolution kernel W [O, I K]. Tucker-2 takes the channels of the inputs that matter most (singular values over inputs, whitened by their second moments), and then, for these, the outputs and the kernel between
/// in closed form: the reduced-rank regression of the layer's outputs. CP alternates least squares of three factors, and at the end solves for the outputs on the data.
/// </summary>
/// <param name="sizes">What it becomes; ranks are not used.</param>
/// <param name="h">Second moments of patches, [I K, I K].</param>
/// <param name="wanted">W (H + D), [O, I K].</param>
/// <param name="context">Threads, seed.</param>
internal sealed class ConvolutionDecomposer(ConvolutionSizes sizes, Matrix h, Matrix wanted, PassContext context)
{
    private const int Rounds = 30;

    /// <summary>Squared singular values over inputs, descending: what the outputs lose at least when inputs are left out.</summary>
    public (double[] Values, Matrix Vectors) Inputs(Matrix weights)
    {
        using Matrix channels = ChannelMoments();
        using var factor = new GramFactor(channels, context.Threads, context.Cancellation);
        using Matrix unfolded = ByInput(weights);
        using Matrix rows = unfolded.Transposed(); // [O K, I]
        factor.Whiten(rows);
        using SingularValues svd = SingularValues.Of(rows, Math.Min(rows.Rows, rows.Columns), context.PassSeed, context.Threads, context.Cancellation);
        Matrix vectors = svd.Right.Top(svd.Right.Rows);
        factor.Unwhiten(vectors);
        return ([.. svd.Values.Select(v => v * v)], vectors);
    }

    /// <summary>Tucker-2: B [O, Q], C [Q, P K], A [P, I].</summary>
    public (Matrix Outputs, Matrix Kernels, Matrix Inputs) Tucker(Matrix weights, int outer, int inner)
    {
        (_, Matrix vectors) = Inputs(weights);
        using Matrix all = vectors;
        var inputs = new Matrix(inner, sizes.Inputs);
        for (int p = 0; p < Math.Min(inner, all.Rows); p++)
        {
            double length = Math.Sqrt(VectorMath.Dot(all.Row(p), all.Row(p)));
            VectorMath.AddScaled(all.Row(p), length > 0 ? 1 / length : 0, inputs.Row(p));
        }

        using Matrix projection = Spread(inputs);
        using Matrix gram = Gram(projection);
        using var factor = new GramFactor(gram, context.Threads, context.Cancellation);
        using Matrix target = MatrixProduct.Of(wanted, false, projection, true, context.Threads, context.Cancellation);
        factor.SolveHalf(target);
        using SingularValues svd = SingularValues.Of(target, Math.Min(outer, Math.Min(target.Rows, target.Columns)), context.PassSeed, context.Threads, context.Cancellation);
        var outputs = new Matrix(sizes.Outputs, outer);
        var kernels = new Matrix(outer, target.Columns);
        for (int q = 0; q < svd.Values.Count; q++)
        {
            VectorMath.AddScaled(svd.Right.Row(q), svd.Values[q], kernels.Row(q));
            for (int o = 0; o < outputs.Rows; o++)
            {
                outputs[o, q] = svd.Left[q, o];
            }
        }

        factor.Unwhiten(kernels);
        return (outputs, kernels, inputs);
    }

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

    /// <summary>X H X^T.</summary>
    private Matrix Gram(Matrix x)
    {
        using Matrix product = MatrixProduct.Of(x, false, h, false, context.Threads, context.Cancellation);
        return MatrixProduct.Of(product, false, x, true, context.Threads, context.Cancellation);
    }

    /// <summary>Second moments of input channels, kernel elements summed: [I, I].</summary>
    private Matrix ChannelMoments()
    {
        int k = sizes.Kernel;
        var channels = new Matrix(sizes.Inputs, sizes.Inputs);
        for (int i = 0; i < sizes.Inputs; i++)
        {
            for (int e = 0; e < k; e++)
            {
                ReadOnlySpan<double> row = h.Row((i * k) + e);
                for (int j = 0; j < sizes.Inputs; j++)
                {
                    channels[i, j] += row[(j * k) + e];
                }
            }
        }

        return channels;
    }

    /// <summary>[I, O K] of [O, I K].</summary>
    private Matrix ByInput(Matrix weights)
    {
        int k = sizes.Kernel;
        var unfolded = new Matrix(sizes.Inputs, sizes.Outputs * k);
        for (int o = 0; o < sizes.Outputs; o++)
        {
            ReadOnlySpan<double> row = weights.Row(o);
            for (int i = 0; i < sizes.Inputs; i++)
            {
                row.Slice(i * k, k).CopyTo(unfolded.Row(i)[(o * k)..]);
            }
        }

        return unfolded;
    }

    /// <summary>What A does to patches: [P K, I K].</summary>
    private Matrix Spread(Matrix inputs)
    {
        int k = sizes.Kernel;
        var spread = new Matrix(inputs.Rows * k, sizes.Inputs * k);
        for (int p = 0; p < inputs.Rows; p++)
        {
            for (int i = 0; i < sizes.Inputs; i++)
            {
                for (int e = 0; e < k; e++)
                {
                    spread[(p * k) + e, (i * k) + e] = inputs[p, i];
                }
            }
        }

        return spread;
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

    private static void Replace(ref Matrix matrix, Matrix by)
    {
        matrix.Dispose();
        matrix = by;
    }
}
