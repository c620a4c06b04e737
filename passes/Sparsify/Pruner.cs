namespace ModelPack.Passes;

/// <summary>How units are scored.</summary>
internal enum PruneScore
{
    /// <summary>Sum of squares (Frobenius norm of a block).</summary>
    Magnitude,

    /// <summary>Sum of squares times that of the input (Wanda, Sun et al., arXiv 2306.11695).</summary>
    Wanda,

    /// <summary>What outputs lose when all other weights make up for it (optimal brain surgeon; SparseGPT, Frantar and Alistarh, arXiv 2301.00774).</summary>
    SecondOrder,
}

/// <summary>How a weight is pruned.</summary>
/// <param name="Pattern">What is dropped together.</param>
/// <param name="Score">By what.</param>
/// <param name="Steps">Steps of the schedule, at each of which survivors are solved for.</param>
/// <param name="Regrow">Rounds in which dropped units may come back in the place of kept ones.</param>
/// <param name="Reconstruct">False leaves survivors as they are.</param>
/// <param name="Linear">Equal steps instead of a cubic schedule.</param>
internal sealed record PruneOptions(SparsePattern Pattern, PruneScore Score, int Steps, int Regrow, bool Reconstruct, bool Linear = false);

/// <summary>A pruned weight.</summary>
/// <param name="Values">[rows, K], exactly 0 where dropped.</param>
/// <param name="Sparsity">Share of weights dropped.</param>
/// <param name="Loss">What the squared output error on the calibration data grew by, over the square of the outputs.</param>
internal sealed record PrunedWeight(float[] Values, double Sparsity, double Loss);

/// <summary>
/// Prune and reconstruct: steps of a cubic schedule (Zhu and Gupta, arXiv 1710.01878; s[t] = s (1 - (1 - t/T)^3)) alternate with closed-form least-squares updates of the survivors on the second moments of the calibration
/// data, which stands for training here. At the end, dropped units whose return would lower the error by more than a kept one's going raises it take its place, as in the grow step of BLaST (arXiv 2507.03117).
/// </summary>
internal sealed class Pruner(PruneOptions options, int threads, CancellationToken cancellation)
{
    /// <summary>Conjugate-gradient iterations between steps, and at the end.</summary>
    private const int StepIterations = 12;

    private const int LastIterations = 60;

    /// <summary>Bytes that <see cref="Run"/> holds at once, but for what threads hold of single tiles.</summary>
    /// <param name="pattern">What is dropped together.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">K.</param>
    /// <param name="calibrated">True with second moments of activations.</param>
    public static long Bytes(SparsePattern pattern, long rows, long columns, bool calibrated)
    {
        // Weights, targets, and solutions with one mask and with another; scores, an order and two masks of the units; moments, and the factor that scores come from.
        long weights = 4 * sizeof(float) * rows * columns;
        long units = (sizeof(double) + sizeof(int) + (2 * sizeof(bool))) * (((rows - 1) / pattern.Rows) + 1) * (((columns - 1) / pattern.Columns) + 1);
        return weights + units + ((calibrated ? sizeof(float) + (sizeof(double) / 2) : sizeof(float)) * columns * columns);
    }

    /// <summary>Prunes a weight.</summary>
    /// <param name="weights">[rows, K].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="moments">Of its input.</param>
    /// <param name="sparsity">Share of units to drop; for N:M as much as it says itself, or less on the way there.</param>
    /// <param name="trace">Given the loss after every step with its sparsity; null: nobody asks.</param>
    public PrunedWeight Run(float[] weights, int rows, InputMoments moments, double sparsity, Action<double, double>? trace = null)
    {
        int size = moments.Size;
        float[] target = new float[weights.Length];
        moments.Target(weights, rows, target, threads, cancellation);
        float[] x = [.. weights];
        var mask = new PruneMask(options.Pattern, rows, size);
        if (options.Reconstruct && moments.HasDrift)
        {
            MaskedLeastSquares.Solve(moments, target, mask, x, rows, LastIterations, threads, cancellation);
        }

        double start = Objective(x, target, rows, moments);
        double power = Math.Max(double.Epsilon, -Objective(weights, target, rows, moments));
        double wanted = options.Pattern.Of > 0 ? sparsity / options.Pattern.OwnSparsity : sparsity;
        double Loss() => (Objective(x, target, rows, moments) - start) / power;
        for (int step = 1; step <= options.Steps; step++)
        {
            double left = 1 - ((double)step / options.Steps);
            double part = options.Linear ? 1 - left : 1 - (left * left * left);
            mask.Choose(Scores(x, rows, moments), wanted * (options.Pattern.Of > 0 ? (double)step / options.Steps : part), onlyKept: true);
            Solve(x, target, mask, rows, moments, step < options.Steps ? StepIterations : LastIterations);
            trace?.Invoke(mask.Sparsity, Loss());
        }

        for (int round = 0; round < options.Regrow && options.Reconstruct; round++)
        {
            PruneMask other = mask.Copy();
            float[] changed = [.. x];
            other.Choose(GrowScores(x, target, mask, rows, moments), wanted, onlyKept: false);
            Solve(changed, target, other, rows, moments, LastIterations);
            if (other.Kept.SequenceEqual(mask.Kept) || Objective(changed, target, rows, moments) >= Objective(x, target, rows, moments))
            {
                break;
            }

            (x, mask) = (changed, other);
        }

        return new PrunedWeight(x, mask.Sparsity, Loss());
    }

    /// <summary>Drops what the mask drops and solves for the rest.</summary>
    private void Solve(float[] x, float[] target, PruneMask mask, int rows, InputMoments moments, int iterations)
    {
        mask.Apply(x);
        if (options.Reconstruct)
        {
            MaskedLeastSquares.Solve(moments, target, mask, x, rows, iterations, threads, cancellation);
        }
    }

    /// <summary>x (x H - 2 g), summed: the squared output error but for what does not depend on x.</summary>
    private double Objective(float[] x, float[] target, int rows, InputMoments moments)
    {
        int size = moments.Size;
        double[] sums = new double[(rows + RowTiles.Rows - 1) / RowTiles.Rows];
        void Sum(int first, int count)
        {
            float[] product = new float[count * size];
            ReadOnlySpan<float> values = x.AsSpan(first * size, count * size);
            moments.Multiply(values, count, product);
            double sum = 0;
            for (int i = 0; i < product.Length; i++)
            {
                sum += (double)values[i] * ((double)product[i] - (2 * (double)target[(first * size) + i]));
            }

            sums[first / RowTiles.Rows] = sum;
        }

        RowTiles.Run(rows, 1, threads, Sum, cancellation);
        double total = 0;
        foreach (double sum in sums)
        {
            total += sum;
        }

        return total;
    }

    /// <summary>What each unit is worth.</summary>
    private double[] Scores(float[] x, int rows, InputMoments moments) => options.Score switch
    {
        PruneScore.Magnitude => Quadratic(x, rows, moments.Size, null),
        PruneScore.Wanda => Quadratic(x, rows, moments.Size, moments.Diagonal()),
        _ => Quadratic(x, rows, moments.Size, moments.Costs(options.Pattern.Columns, threads, cancellation)),
    };

    /// <summary>What outputs lose without a kept unit, or gain with a dropped one.</summary>
    private double[] GrowScores(float[] x, float[] target, PruneMask mask, int rows, InputMoments moments)
    {
        int size = moments.Size;
        double[] scores = Quadratic(x, rows, size, moments.Costs(options.Pattern.Columns, threads, cancellation));
        float[] matrices = moments.Gains(options.Pattern.Columns);
        void Grow(int first, int count)
        {
            float[] gradient = new float[count * size];
            moments.Multiply(x.AsSpan(first * size, count * size), count, gradient);
            for (int i = 0; i < gradient.Length; i++)
            {
                gradient[i] = target[(first * size) + i] - gradient[i];
            }

            int firstUnit = first / options.Pattern.Rows * mask.UnitColumns;
            double[] gains = new double[(((count - 1) / options.Pattern.Rows) + 1) * mask.UnitColumns];
            AddForms(gradient, count, size, matrices, gains);
            for (int i = 0; i < gains.Length; i++)
            {
                scores[firstUnit + i] = mask.Kept[firstUnit + i] ? scores[firstUnit + i] : gains[i];
            }
        }

        RowTiles.Run(rows, options.Pattern.Rows, threads, Grow, cancellation);
        return scores;
    }

    /// <summary>By unit, the sum over its rows of v B v, v being the values of a row and B the matrix of its columns; null for the identity, [K] values for a diagonal.</summary>
    private double[] Quadratic(float[] values, int rows, int size, float[]? matrices)
    {
        SparsePattern pattern = options.Pattern;
        int unitColumns = ((size - 1) / pattern.Columns) + 1;
        double[] sums = new double[(((rows - 1) / pattern.Rows) + 1) * unitColumns];
        RowTiles.Run(
            rows,
            pattern.Rows,
            threads,
            (first, count) => AddForms(values.AsSpan(first * size, count * size), count, size, matrices, sums.AsSpan(first / pattern.Rows * unitColumns)),
            cancellation);
        return sums;
    }

    /// <summary>Adds v B v of every row to the sums of its units. The first row begins a unit.</summary>
    private void AddForms(ReadOnlySpan<float> values, int rows, int size, float[]? matrices, Span<double> sums)
    {
        int width = options.Pattern.Columns;
        int unitColumns = ((size - 1) / width) + 1;
        bool diagonal = matrices is null || matrices.Length == size;
        for (int r = 0; r < rows; r++)
        {
            for (int unit = 0; unit < unitColumns; unit++)
            {
                int first = unit * width;
                ReadOnlySpan<float> v = values.Slice((r * size) + first, Math.Min(width, size - first));
                sums[(r / options.Pattern.Rows * unitColumns) + unit] += diagonal
                    ? Squares(v, matrices is null ? [] : matrices.AsSpan(first, v.Length))
                    : Form(v, matrices.AsSpan(unit * width * width, width * width), width);
            }
        }
    }

    private static double Squares(ReadOnlySpan<float> v, ReadOnlySpan<float> factors)
    {
        double sum = 0;
        for (int i = 0; i < v.Length; i++)
        {
            sum += (double)v[i] * v[i] * (factors.IsEmpty ? 1 : factors[i]);
        }

        return sum;
    }

    private static double Form(ReadOnlySpan<float> v, ReadOnlySpan<float> matrix, int width)
    {
        double sum = 0;
        for (int i = 0; i < v.Length; i++)
        {
            ReadOnlySpan<float> row = matrix.Slice(i * width, v.Length);
            double inner = 0;
            for (int j = 0; j < row.Length; j++)
            {
                inner += (double)row[j] * v[j];
            }

            sum += inner * v[i];
        }

        return sum;
    }
}
