using ModelPack.Compiler;
using ModelPack.Compiler.Linear;
using ModelPack.Structures;

namespace ModelPack.Passes;

/// <summary>
/// Factors of a convolution kernel W [O, I K]. Tucker-2 takes the channels of the inputs that matter most (singular values over inputs, whitened by their second moments), and then, for these, the outputs and the kernel between
/// in closed form: the reduced-rank regression of the layer's outputs; rounds of conjugate gradients then improve the inputs for these. CP alternates least squares of three factors, and at the end solves for the outputs on the data.
/// </summary>
/// <param name="sizes">What it becomes; ranks are not used.</param>
/// <param name="h">Second moments of patches, [I K, I K].</param>
/// <param name="wanted">W (H + D), [O, I K].</param>
/// <param name="context">Threads, seed.</param>
internal sealed partial class ConvolutionDecomposer(ConvolutionSizes sizes, Matrix h, Matrix wanted, PassContext context)
{
    private const int Rounds = 30;

    /// <summary>Steps of conjugate gradients in a round.</summary>
    private const int Steps = 8;

    /// <summary>Numbers of outputs that are tried when inputs and outputs are balanced.</summary>
    private const int Trials = 8;

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
    /// <param name="weights">The kernel at full rank.</param>
    /// <param name="outer">Q.</param>
    /// <param name="inner">P.</param>
    /// <param name="rounds">In which inputs are improved.</param>
    public (Matrix Outputs, Matrix Kernels, Matrix Inputs) Tucker(Matrix weights, int outer, int inner, int rounds)
    {
        (_, Matrix vectors) = Inputs(weights);
        using Matrix all = vectors;
        Matrix inputs = Best(all, inner);
        (Matrix outputs, Matrix kernels) = Regress(inputs, outer);
        for (int round = 0; round < rounds; round++)
        {
            Improve(inputs, outputs, kernels);
            outputs.Dispose();
            kernels.Dispose();
            (outputs, kernels) = Regress(inputs, outer);
        }

        return (outputs, kernels, inputs);
    }

    /// <summary>The outputs and inputs that lose least within a number of parameters: what a bound says is best, and some numbers of outputs with as many inputs as that leaves, each measured.</summary>
    /// <param name="weights">The kernel at full rank.</param>
    /// <param name="shape">Of the kernel.</param>
    /// <param name="parameters">The number.</param>
    /// <param name="bound">What the bound says is best.</param>
    public (int Outer, int Inner) Balance(Matrix weights, RankShape shape, long parameters, (int Outer, int Inner) bound)
    {
        (_, Matrix vectors) = Inputs(weights);
        using Matrix all = vectors;
        (int Outer, int Inner) best = bound;
        double most = Explained(all, bound.Outer, bound.Inner);
        for (int trial = 1; trial <= Trials; trial++)
        {
            int outer = Math.Max(1, shape.MostOuter * trial / Trials);
            int inner = shape.MostInputs(parameters, outer);
            if (inner > 0 && Explained(all, outer, inner) is double explained && explained > most)
            {
                (best, most) = ((outer, inner), explained);
            }
        }

        return best;
    }

    /// <summary>The first rows of length 1.</summary>
    private Matrix Best(Matrix vectors, int inner)
    {
        var inputs = new Matrix(inner, sizes.Inputs);
        for (int p = 0; p < Math.Min(inner, vectors.Rows); p++)
        {
            double length = Math.Sqrt(VectorMath.Dot(vectors.Row(p), vectors.Row(p)));
            VectorMath.AddScaled(vectors.Row(p), length > 0 ? 1 / length : 0, inputs.Row(p));
        }

        return inputs;
    }

    /// <summary>Squares of the outputs that some of them, and of the inputs, can explain.</summary>
    private double Explained(Matrix vectors, int outer, int inner)
    {
        using Matrix inputs = Best(vectors, inner);
        using SingularValues svd = Seen(inputs, outer, out GramFactor factor, out _);
        factor.Dispose();
        return svd.Values.Sum(v => v * v);
    }

    /// <summary>Singular values of what inputs tell of the outputs.</summary>
    private SingularValues Seen(Matrix inputs, int outer, out GramFactor factor, out int columns)
    {
        using Matrix projection = Spread(inputs);
        using Matrix gram = Gram(projection);
        factor = new GramFactor(gram, context.Threads, context.Cancellation);
        using Matrix target = MatrixProduct.Of(wanted, false, projection, true, context.Threads, context.Cancellation);
        factor.SolveHalf(target);
        columns = target.Columns;
        return SingularValues.Of(target, Math.Min(outer, Math.Min(target.Rows, target.Columns)), context.PassSeed, context.Threads, context.Cancellation);
    }

    /// <summary>B and C for given A, in closed form; columns of B are orthonormal.</summary>
    private (Matrix Outputs, Matrix Kernels) Regress(Matrix inputs, int outer)
    {
        using SingularValues svd = Seen(inputs, outer, out GramFactor factor, out int columns);
        var outputs = new Matrix(sizes.Outputs, outer);
        var kernels = new Matrix(outer, columns);
        for (int q = 0; q < svd.Values.Count; q++)
        {
            VectorMath.AddScaled(svd.Right.Row(q), svd.Values[q], kernels.Row(q));
            for (int o = 0; o < outputs.Rows; o++)
            {
                outputs[o, q] = svd.Left[q, o];
            }
        }

        factor.Unwhiten(kernels);
        factor.Dispose();
        return (outputs, kernels);
    }

    /// <summary>A for given B and C, in place: conjugate gradients from where it is on the least squares of the outputs. With orthonormal columns of B only B^T W counts.</summary>
    private void Improve(Matrix inputs, Matrix outputs, Matrix kernels)
    {
        using Matrix target = MatrixProduct.Of(outputs, true, wanted, false, context.Threads, context.Cancellation);
        using Matrix residual = Gathered(kernels, target);
        using Matrix now = Normal(inputs, kernels);
        AddTo(residual, now, -1);
        using Matrix direction = residual.Top(residual.Rows);
        double squares = residual.SumOfSquares();
        for (int step = 0; step < Steps && squares > 0; step++)
        {
            using Matrix product = Normal(direction, kernels);
            double curvature = 0;
            for (int p = 0; p < direction.Rows; p++)
            {
                curvature += VectorMath.Dot(direction.Row(p), product.Row(p));
            }

            if (!(curvature > 0))
            {
                return;
            }

            AddTo(inputs, direction, squares / curvature);
            AddTo(residual, product, -squares / curvature);
            double left = residual.SumOfSquares();
            for (int p = 0; p < direction.Rows; p++)
            {
                foreach (ref double value in direction.Row(p))
                {
                    value *= left / squares;
                }
            }

            AddTo(direction, residual, 1);
            squares = left;
        }
    }

    /// <summary>The normal equations of the inputs, applied to A.</summary>
    private Matrix Normal(Matrix a, Matrix kernels)
    {
        using Matrix spread = Spread(a);
        using Matrix filters = MatrixProduct.Of(kernels, false, spread, false, context.Threads, context.Cancellation);
        using Matrix seen = MatrixProduct.Of(filters, false, h, false, context.Threads, context.Cancellation);
        return Gathered(kernels, seen);
    }

    /// <summary>What a change of A changes of the product with filters [Q, I K]: [P, I].</summary>
    private Matrix Gathered(Matrix kernels, Matrix filters)
    {
        int k = sizes.Kernel;
        using Matrix all = MatrixProduct.Of(kernels, true, filters, false, context.Threads, context.Cancellation); // [P K, I K]
        var gathered = new Matrix(kernels.Columns / k, sizes.Inputs);
        for (int p = 0; p < gathered.Rows; p++)
        {
            for (int i = 0; i < sizes.Inputs; i++)
            {
                for (int e = 0; e < k; e++)
                {
                    gathered[p, i] += all[(p * k) + e, (i * k) + e];
                }
            }
        }

        return gathered;
    }

    private static void AddTo(Matrix target, Matrix source, double factor)
    {
        for (int row = 0; row < target.Rows; row++)
        {
            VectorMath.AddScaled(source.Row(row), factor, target.Row(row));
        }
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

    private static void Replace(ref Matrix matrix, Matrix by)
    {
        matrix.Dispose();
        matrix = by;
    }
}
