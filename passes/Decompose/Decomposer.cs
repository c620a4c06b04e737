using System.Collections.Immutable;
using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Compiler.Linear;
using ModelPack.Numbers;
using ModelPack.Structures;

namespace ModelPack.Passes;

/// <summary>A weight in its new form.</summary>
/// <param name="Encoding">The matrix [N, K].</param>
/// <param name="Loss">Squared error of the outputs on the calibration data over their squares; of the weights, without data.</param>
internal sealed record DecomposedWeight(WeightEncoding Encoding, double Loss);

/// <summary>Decomposes one weight.</summary>
/// <param name="shape">What it becomes.</param>
/// <param name="stored">Type of the components.</param>
/// <param name="healingRounds">Rounds of least squares of a tensor train, and of the inputs of Tucker-2.</param>
/// <param name="context">Threads, storage, seed.</param>
internal sealed class Decomposer(RankShape shape, DType stored, int healingRounds, PassContext context)
{
    private const double Nothing = 1e-300;

    /// <summary>Rounds of residual and part of low rank.</summary>
    private const int ResidualRounds = 4;

    /// <summary>True when a rank of Tucker-2 says how many parameters there are, and what loses least decides how many of inputs and how many of outputs.</summary>
    public bool Balances { get; init; }

    /// <summary>Loss at each of some ranks, by the singular values that are cut off.</summary>
    /// <param name="weights">[N, K].</param>
    /// <param name="whitening">Of the input.</param>
    /// <param name="ranks">Ascending.</param>
    public double[] Losses(float[] weights, Whitening whitening, IReadOnlyList<int> ranks)
    {
        using Matrix target = whitening.Target(weights, shape.Rows);
        double total = Math.Max(Nothing, target.SumOfSquares());
        if (shape.IsConvolution)
        {
            return ConvolutionLosses(weights, whitening, target, total, ranks);
        }

        if (shape.IsTrain)
        {
            using Matrix plain = Plain(weights);
            double whole = Math.Max(Nothing, plain.SumOfSquares());
            return [.. TensorTrain.Bounds(plain, shape, ranks, context.PassSeed, context.Threads, context.Cancellation).Select(b => Math.Min(1, b / whole))];
        }

        using SingularValues svd = SingularValues.Of(target, ranks.Count == 0 ? 0 : ranks[^1], context.PassSeed, context.Threads, context.Cancellation);
        return [.. ranks.Select(r => svd.Discarded(r) / total)];
    }

    /// <summary>Decomposes a weight.</summary>
    /// <param name="weights">[N, K].</param>
    /// <param name="moments">Of the input.</param>
    /// <param name="whitening">Of these.</param>
    /// <param name="rank">Rank or bond dimension.</param>
    public DecomposedWeight Run(float[] weights, InputMoments moments, Whitening whitening, int rank)
    {
        using Matrix target = whitening.Target(weights, shape.Rows);
        return shape.IsConvolution ? Convolution(weights, target, moments, whitening, rank)
            : shape.IsTrain ? Train(weights, target, moments, whitening, rank)
            : Factors(target, whitening, rank);
    }

    /// <summary>By the singular values over outputs and over inputs that are cut off, which together are no less than what is lost (Tucker-2), or with equal parameters about as much (CP).</summary>
    private double[] ConvolutionLosses(float[] weights, Whitening whitening, Matrix target, double total, IReadOnlyList<int> ranks)
    {
        using Matrix h = Square(whitening.Moments);
        using Matrix plain = Plain(weights);
        using Matrix wanted = MatrixProduct.Of(plain, false, h, false, context.Threads, context.Cancellation);
        ConvolutionBound bound = Bound(new ConvolutionDecomposer(new ConvolutionSizes(shape.Rows, shape.Inputs, shape.Kernel, 0, 0), h, wanted, context), plain, target, total);
        var tucker = shape with { Structure = ConvolutionFactors.TuckerId };
        return
        [
            .. ranks.Select(rank =>
            {
                int like = shape.Structure == ConvolutionFactors.TuckerId ? rank : Enumerable.Range(1, tucker.Full).LastOrDefault(r => tucker.Parameters(r) <= shape.Parameters(rank), 1);
                (int outer, int inner) = Balances ? bound.Best(tucker, tucker.Parameters(like)) : (tucker.Outer(like), tucker.Inner(like));
                return bound.Loss(outer, inner);
            }),
        ];
    }

    private ConvolutionBound Bound(ConvolutionDecomposer convolution, Matrix plain, Matrix target, double total)
    {
        (double[] inputs, Matrix vectors) = convolution.Inputs(plain);
        vectors.Dispose();
        using SingularValues svd = SingularValues.Of(target, Math.Min(target.Rows, target.Columns), context.PassSeed, context.Threads, context.Cancellation);
        return new ConvolutionBound([.. svd.Values.Select(v => v * v / total)], [.. inputs.Select(v => v / Math.Max(Nothing, inputs.Sum()))]);
    }

    private DecomposedWeight Convolution(float[] weights, Matrix target, InputMoments moments, Whitening whitening, int rank)
    {
        using Matrix h = Square(moments);
        using Matrix wanted = Wanted(weights, moments);
        using Matrix best = target.Top(target.Rows);
        whitening.Unwhiten(best);
        (int outer, int inner) = (shape.Outer(rank), shape.Inner(rank));
        var convolution = new ConvolutionDecomposer(new ConvolutionSizes(shape.Rows, shape.Inputs, shape.Kernel, outer, inner), h, wanted, context);
        bool cp = shape.Structure == ConvolutionFactors.CpId;
        if (Balances && !cp)
        {
            ConvolutionBound bound = Bound(convolution, best, target, Math.Max(Nothing, target.SumOfSquares()));
            (outer, inner) = convolution.Balance(best, shape, shape.Parameters(rank), bound.Best(shape, shape.Parameters(rank)));
        }

        (Matrix outputs, Matrix kernels, Matrix inputs) = cp ? convolution.Polyadic(best, rank) : convolution.Tucker(best, outer, inner, healingRounds);
        using (outputs)
        using (kernels)
        using (inputs)
        {
            var made = new StructuredEncoding(
                cp ? ConvolutionFactors.Cp(rank) : ConvolutionFactors.Tucker(inner, outer), new Shape(shape.Rows, shape.Columns), [Component(outputs), Component(kernels), Component(inputs)]);
            using Matrix values = Values(made);
            return new DecomposedWeight(made, OutputError(best, values, h) / Math.Max(Nothing, target.SumOfSquares()));
        }
    }

    /// <summary>
    /// What a part of low rank leaves, in a number format: the format takes what it can of the weight, the part of low rank what that loses to the outputs, and both once more with the other taken off (as LoftQ, arXiv 2310.08659, does for
    /// weights). With sparse instead of a format, the entries whose loss costs the outputs most.
    /// </summary>
    /// <param name="weights">[N, K].</param>
    /// <param name="moments">Of the input.</param>
    /// <param name="whitening">Of these.</param>
    /// <param name="rank">Of the part of low rank.</param>
    /// <param name="format">The number format; null: sparse.</param>
    /// <param name="share">Share of the entries that sparse keeps.</param>
    public DecomposedWeight Residual(float[] weights, InputMoments moments, Whitening whitening, int rank, UnitSpec? format, double share)
    {
        using Matrix best = whitening.Target(weights, shape.Rows);
        double total = Math.Max(Nothing, best.SumOfSquares());
        whitening.Unwhiten(best);
        var low = format is null ? Cut(best, whitening, rank) : null;
        WeightEncoding? rest = null;
        for (int round = 0; round < ResidualRounds; round++)
        {
            using Matrix left = best.Top(best.Rows);
            if (low is not null)
            {
                Subtract(left, low);
            }

            rest = format is UnitSpec spec ? Quantised(left, spec) : Sparse(left, moments, share);
            using Matrix remaining = best.Top(best.Rows);
            Subtract(remaining, rest);
            low = Cut(remaining, whitening, rank);
        }

        StructuredEncoding made = SumOf.Of(low!, rest!);
        using Matrix values = Values(made);
        using Matrix error = best.Top(best.Rows);
        for (int row = 0; row < error.Rows; row++)
        {
            VectorMath.AddScaled(values.Row(row), -1, error.Row(row));
        }

        whitening.Whiten(error);
        return new DecomposedWeight(made, error.SumOfSquares() / total);
    }

    private StructuredEncoding Cut(Matrix weights, Whitening whitening, int rank)
    {
        using Matrix target = weights.Top(weights.Rows);
        whitening.Whiten(target);
        return (StructuredEncoding)new Decomposer(shape with { Structure = LowRank.Id }, stored, 0, context).Factors(target, whitening, rank).Encoding;
    }

    private DenseEncoding Quantised(Matrix values, UnitSpec format)
    {
        var whole = new Shape(shape.Rows, shape.Columns);
        DenseEncoding source = Raw(Narrow(values), DType.F32, whole, context);
        UnitSpec chosen = context.ChooseFormat?.Invoke(format, source) ?? format;
        return DenseEncoding.Pending(context.BindFormat is { } bind ? bind(chosen, whole).Spec : chosen, source);
    }

    /// <summary>The entries with the largest squares times the mean square of their input, all others zero.</summary>
    private WeightEncoding Sparse(Matrix values, InputMoments moments, double share)
    {
        float[] all = Narrow(values);
        float[] diagonal = moments.Diagonal();
        float[] scores = [.. all.Select((v, i) => v * v * diagonal[i % diagonal.Length])];
        int kept = Math.Clamp((int)(all.Length * share), 1, all.Length);
        float least = scores.OrderDescending().ElementAt(kept - 1);
        for (int i = 0; i < all.Length; i++)
        {
            all[i] = scores[i] >= least ? all[i] : 0;
        }

        DenseEncoding dense = Raw(all, stored, new Shape(shape.Rows, shape.Columns), context);
        return context.FindSparsity?.Invoke(dense) ?? dense;
    }

    private void Subtract(Matrix from, WeightEncoding encoding)
    {
        using Matrix values = Values(encoding);
        for (int row = 0; row < from.Rows; row++)
        {
            VectorMath.AddScaled(values.Row(row), -1, from.Row(row));
        }
    }

    /// <summary>What readers will see.</summary>
    private Matrix Values(WeightEncoding encoding)
    {
        float[] values = new float[checked(shape.Rows * shape.Columns)];
        context.OpenValues(encoding).ReadRows(0, shape.Rows, values);
        return Plain(values);
    }

    /// <summary>The weight of full rank that makes up for what the layers before it became.</summary>
    public float[] Refit(float[] weights, Whitening whitening)
    {
        using Matrix target = whitening.Target(weights, shape.Rows);
        whitening.Unwhiten(target);
        return Narrow(target);
    }

    private DecomposedWeight Factors(Matrix target, Whitening whitening, int rank)
    {
        using SingularValues svd = SingularValues.Of(target, rank, context.PassSeed, context.Threads, context.Cancellation);
        double loss = svd.Discarded(rank) / Math.Max(Nothing, svd.Total);
        using Matrix left = svd.Left.Transposed();
        using Matrix right = svd.Right.Top(rank);
        for (int i = 0; i < rank; i++)
        {
            foreach (ref double value in right.Row(i))
            {
                value *= svd.Values[i];
            }
        }

        whitening.Unwhiten(right);
        var whole = new Shape(shape.Rows, shape.Columns);
        UnitSpec spec = LowRank.Spec(shape.Structure, rank);
        if (shape.Structure == LowRank.Id)
        {
            return new DecomposedWeight(new StructuredEncoding(spec, whole, [Component(left), Component(right)]), loss);
        }

        (int[] chosen, Matrix combinations) = PivotChoice.Run(left);
        using Matrix others = combinations;
        using var pivots = new Matrix(rank, rank);
        byte[] mask = new byte[(shape.Rows + 7) / 8];
        for (int i = 0; i < rank; i++)
        {
            left.Row(chosen[i]).CopyTo(pivots.Row(i));
            mask[chosen[i] >> 3] |= (byte)(1 << (chosen[i] & 7));
        }

        using Matrix rows = MatrixProduct.Of(pivots, false, right, false, context.Threads, context.Cancellation);
        var bits = DenseEncoding.Raw(DType.U8, new Shape(1, mask.Length), context.Keep(mask));
        return new DecomposedWeight(new StructuredEncoding(spec, whole, [bits, Component(rows), Component(others)]), loss);
    }

    private DecomposedWeight Train(float[] weights, Matrix target, InputMoments moments, Whitening whitening, int rank)
    {
        using Matrix best = target.Top(target.Rows);
        whitening.Unwhiten(best);
        using var train = TensorTrain.Of(best, shape.Train(rank), context.PassSeed, context.Threads, context.Cancellation);
        using Matrix h = Square(moments);
        if (healingRounds > 0)
        {
            using Matrix wanted = Wanted(weights, moments);
            train.Heal(wanted, h, healingRounds);
        }

        using Matrix made = train.Materialise();
        double loss = OutputError(best, made, h) / Math.Max(Nothing, target.SumOfSquares());
        ImmutableArray<WeightEncoding>.Builder cores = ImmutableArray.CreateBuilder<WeightEncoding>(train.Shape.Sites);
        for (int k = 0; k < train.Shape.Sites; k++)
        {
            using Matrix core = train.Stored(k);
            cores.Add(Component(core));
        }

        return new DecomposedWeight(new StructuredEncoding(train.Shape.Spec(), new Shape(shape.Rows, shape.Columns), cores.ToImmutable()), loss);
    }

    /// <summary>tr(E H E^T).</summary>
    private double OutputError(Matrix wanted, Matrix made, Matrix h)
    {
        using Matrix error = wanted.Top(wanted.Rows);
        for (int row = 0; row < error.Rows; row++)
        {
            VectorMath.AddScaled(made.Row(row), -1, error.Row(row));
        }

        using Matrix product = MatrixProduct.Of(error, false, h, false, context.Threads, context.Cancellation);
        double sum = 0;
        for (int row = 0; row < error.Rows; row++)
        {
            sum += VectorMath.Dot(error.Row(row), product.Row(row));
        }

        return Math.Max(0, sum);
    }

    private Matrix Wanted(float[] weights, InputMoments moments)
    {
        float[] product = new float[weights.Length];
        moments.Target(weights, shape.Rows, product, context.Threads, context.Cancellation);
        return Plain(product);
    }

    private Matrix Plain(float[] values)
    {
        var matrix = new Matrix(shape.Rows, shape.Columns);
        for (int row = 0; row < shape.Rows; row++)
        {
            Widen(values.AsSpan(row * shape.Columns, shape.Columns), matrix.Row(row));
        }

        return matrix;
    }

    private static Matrix Square(InputMoments moments)
    {
        var matrix = new Matrix(moments.Size, moments.Size);
        for (int row = 0; row < moments.Size; row++)
        {
            Widen(moments.Moments.Slice(row * moments.Size, moments.Size), matrix.Row(row));
        }

        return matrix;
    }

    private static void Widen(ReadOnlySpan<float> from, Span<double> to)
    {
        for (int i = 0; i < to.Length; i++)
        {
            to[i] = from[i];
        }
    }

    private static float[] Narrow(Matrix matrix)
    {
        float[] values = new float[checked(matrix.Rows * matrix.Columns)];
        for (int row = 0; row < matrix.Rows; row++)
        {
            ReadOnlySpan<double> from = matrix.Row(row);
            for (int i = 0; i < from.Length; i++)
            {
                values[(row * matrix.Columns) + i] = (float)from[i];
            }
        }

        return values;
    }

    private DenseEncoding Component(Matrix matrix) => Raw(Narrow(matrix), stored, new Shape(matrix.Rows, matrix.Columns), context);

    /// <summary>Values in the type that the weight was stored in.</summary>
    public static DenseEncoding Raw(float[] values, DType stored, Shape shape, PassContext context)
    {
        byte[] bytes = new byte[stored.StorageBytes(values.Length)];
        if (stored is DType.F16 or DType.BF16)
        {
            NarrowFloats.Round(values, stored, bytes);
        }
        else
        {
            MemoryMarshal.AsBytes(values.AsSpan()).CopyTo(bytes);
        }

        return DenseEncoding.Raw(stored, shape, context.Keep(bytes));
    }
}
