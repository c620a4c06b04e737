using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Pack;
using ModelPack.Passes;
using ModelPack.Testing;
using ModelPack.Tests.Compiler;
using Xunit;
using static ModelPack.Tests.Passes.AlgorithmCases;

namespace ModelPack.Tests.Passes;

/// <summary>Pass sparsify and the algorithm behind it.</summary>
[Trait("Category", "Simd")]
public sealed class SparsifyTests
{
    private const int N = 40;
    private const int K = 96;

    [Theory]
    [InlineData("unstructured", 0.5)]
    [InlineData("2:4", 0.5)]
    [InlineData("1:4", 0.75)]
    [InlineData("4:8", 0.5)]
    [InlineData("8x8", 0.5)]
    [InlineData("8x32", 0.5)]
    [InlineData("1x16", 0.25)]
    public void Run_drops_what_was_asked_for_and_loses_less_than_magnitude(string structure, double sparsity)
    {
        using ActivationStatistics statistics = Statistics(K, 800);
        using var moments = InputMoments.Of(statistics, K, 0.01);
        float[] weights = Weights(N, K);
        PrunedWeight best = Prune(structure, PruneScore.SecondOrder, sparsity, moments, weights);
        PrunedWeight plain = new Pruner(new PruneOptions(SparsePattern.Parse(structure), PruneScore.Magnitude, 1, 0, false), 1, default).Run(weights, N, moments, sparsity);

        var pattern = SparsePattern.Parse(structure);
        Assert.All(new[] { best, plain }, p => AssertPattern(p.Values, pattern, sparsity));
        Assert.InRange(best.Loss, 0, 0.8 * plain.Loss);
        Assert.InRange(OutputError(weights, best.Values, statistics), 0, 0.8 * OutputError(weights, plain.Values, statistics));
    }

    [Theory]
    [InlineData(nameof(PruneScore.Wanda))]
    [InlineData(nameof(PruneScore.SecondOrder))]
    public void Scores_that_know_the_inputs_lose_less_than_magnitude_without_reconstruction(string score)
    {
        using ActivationStatistics statistics = Statistics(K, 800);
        using var moments = InputMoments.Of(statistics, K, 0.01);
        float[] weights = Weights(N, K);
        double Loss(PruneScore by) => new Pruner(new PruneOptions(SparsePattern.Parse("2:4"), by, 1, 0, false), 1, default).Run(weights, N, moments, 0.5).Loss;

        Assert.InRange(Loss(Enum.Parse<PruneScore>(score)), 0, 0.9 * Loss(PruneScore.Magnitude));
    }

    [Fact]
    public void Neighbours_go_part_of_the_way_where_less_is_asked_for()
    {
        using var moments = InputMoments.Of(null, K, 0);
        PrunedWeight part = Prune("2:4", PruneScore.Magnitude, 0.25, moments, Weights(N, K));
        Assert.Equal(0.25, part.Sparsity);
        Assert.Equal(N * K / 4, part.Values.Count(v => v == 0));
    }

    [Theory]
    [InlineData("unstructured")]
    [InlineData("16x16")]
    public void Threads_do_not_change_a_bit(string structure)
    {
        using ActivationStatistics statistics = Statistics(K, 800, drift: true);
        using var moments = InputMoments.Of(statistics, K, 0.01);
        float[] weights = Weights(N, K);

        Assert.Equal(Prune(structure, PruneScore.SecondOrder, 0.5, moments, weights, threads: 1).Values, Prune(structure, PruneScore.SecondOrder, 0.5, moments, weights, threads: 3).Values);
    }

    [Fact]
    public void Solve_is_the_least_squares_solution_on_the_kept_places()
    {
        using ActivationStatistics statistics = Statistics(K, 800);
        using var moments = InputMoments.Of(statistics, K, 0.01);
        float[] weights = Weights(1, K);
        float[] target = new float[K];
        moments.Target(weights, 1, target, 1, default);
        float[] kept = [.. Enumerable.Range(0, K).Select(i => i % 3 == 0 ? 1f : 0f)];
        var mask = new PruneMask(SparsePattern.Parse("unstructured"), 1, K);
        mask.Choose([.. kept.Select(k => (double)k)], 2.0 / 3, onlyKept: false);
        float[] x = [.. weights.Select((w, i) => w * kept[i])];
        MaskedLeastSquares.Solve(moments, target, mask, x, 1, 500, 1, default);

        // The gradient vanishes on every kept place, by elimination in f64 of nobody's making: by definition.
        float[] product = new float[K];
        moments.Multiply(x, 1, product);
        for (int i = 0; i < K; i++)
        {
            Assert.True(kept[i] == 0 ? x[i] == 0 : Math.Abs(product[i] - target[i]) < 1e-4 * moments.Moments[(i * K) + i], $"place {i}");
        }
    }

    [Fact]
    public void Costs_are_the_inverses_of_blocks_of_the_inverse()
    {
        const int width = 32;
        using ActivationStatistics statistics = Statistics(K, 800);
        using var moments = InputMoments.Of(statistics, K, 0.01);
        float[] costs = moments.Costs(width, 1, default);

        // The inverse of a block of H^-1 is the Schur complement of H: what is left of the block when all other columns may follow.
        double[] h = [.. moments.Moments.ToArray().Select(v => (double)v)];
        int[] order = [.. Enumerable.Range(0, K).Where(i => i is < 32 or >= 64), .. Enumerable.Range(32, 32)];
        double[,] a = new double[K, K];
        for (int i = 0; i < K; i++)
        {
            for (int j = 0; j < K; j++)
            {
                a[i, j] = h[(order[i] * K) + order[j]];
            }
        }

        for (int p = 0; p < 64; p++)
        {
            for (int i = p + 1; i < K; i++)
            {
                double factor = a[i, p] / a[p, p];
                for (int j = 0; j < K; j++)
                {
                    a[i, j] -= factor * a[p, j];
                }
            }
        }

        for (int i = 0; i < width * width; i++)
        {
            double expected = a[64 + (i / width), 64 + (i % width)];
            Assert.True(Math.Abs(costs[(width * width) + i] - expected) <= 1e-3 * a[64, 64], $"{i}: {costs[(width * width) + i]}, not {expected}");
        }
    }

    [Fact]
    public void Shares_meet_the_budget_and_spare_what_the_model_needs()
    {
        (double, double)[] curve = [(0.25, 0.01), (0.5, 0.06), (0.75, 0.3), (0.95, 0.8)];
        double[] shared = SparsityAllocation.Solve([new(1000, curve, 1), new(3000, curve, 100), new(1000, curve, 1)], 0.5);

        Assert.Equal(0.5, ((1000 * shared[0]) + (3000 * shared[1]) + (1000 * shared[2])) / 5000, 3);
        Assert.True(shared[0] > shared[1] + 0.1 && Math.Abs(shared[0] - shared[2]) < 1e-9);
    }

    [Theory]
    [InlineData("2:5")]
    [InlineData("4:4")]
    [InlineData("3x3")]
    [InlineData("1x1")]
    [InlineData("512x4")]
    [InlineData("dense")]
    public void Structures_that_do_not_exist_are_MP2004(string structure) =>
        Assert.Equal(ErrorCodes.BadPassOption, Assert.Throws<ModelPackException>(() => Sparsify(Network(), $$"""{"structure":"{{structure}}"}""")).Code);

    [Fact]
    public void Many_blocks_without_data_are_MP2241_unless_forced()
    {
        var error = Assert.Throws<ModelPackException>(() => Sparsify(Network(), """{"structure":"32x32"}"""));
        Assert.Equal(ErrorCodes.BlocksWithoutData, error.Code);
        Assert.Contains("--calibration", error.Message, StringComparison.Ordinal);

        Assert.Equal(0.5, Zeros(Sparsify(Network(), """{"structure":"32x32","force":true}"""), "middle"), 3);
        Assert.Equal(0.25, Zeros(Sparsify(Network(), """{"structure":"32x32","sparsity_percent":25}"""), "middle"), 3);
    }

    [Fact]
    public void Layers_that_do_not_fit_into_the_memory_limit_are_MP2242()
    {
        var context = new PassContext { OpenValues = EncodingValues.Open, MaxMemoryBytes = 300_000 };
        var error = Assert.Throws<ModelPackException>(() => Pipeline.Run(Network(), context, Pipeline.Make("sparsify", "{}")));

        Assert.Equal(ErrorCodes.PruningMemory, error.Code);
        Assert.Contains("'middle'", error.Message, StringComparison.Ordinal);
        Assert.Contains("--max-memory 300000", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Ends_and_protected_layers_stay()
    {
        Model pruned = Sparsify(Network(), "{}");
        Assert.Equal((0, 0.5, 0, 0), (Zeros(pruned, "first"), Zeros(pruned, "middle"), Zeros(pruned, "x.down_proj.weight"), Zeros(pruned, "last")));

        Model all = Sparsify(Network(), """{"ends":"prune","protect":[]}""");
        Assert.All(new[] { "first", "middle", "x.down_proj.weight", "last" }, name => Assert.Equal(0.5, Zeros(all, name), 3));
    }

    [Fact]
    public void Blocks_by_magnitude_keep_more_energy_than_any_random_ones()
    {
        float[] before = Pipeline.Values(Network().Initializer("middle"));
        float[] after = Pipeline.Values(Sparsify(Network(), """{"structure":"16x16","force":true}""").Initializer("middle"));
        double kept = after.Sum(v => (double)v * v);
        var random = new SplitMix(3);
        for (int trial = 0; trial < 20; trial++)
        {
            int[] blocks = [.. Enumerable.Range(0, 64).OrderBy(_ => random.Next()).Take(32)];
            double energy = blocks.Sum(b => Enumerable.Range(0, 256).Sum(i => (double)before[(((b / 8 * 16) + (i / 16)) * 128) + (b % 8 * 16) + (i % 16)] * before[(((b / 8 * 16) + (i / 16)) * 128) + (b % 8 * 16) + (i % 16)]));
            Assert.True(energy <= kept * 1.0000001);
        }
    }

    private static PrunedWeight Prune(string structure, PruneScore score, double sparsity, InputMoments moments, float[] weights, int threads = 2) =>
        new Pruner(new PruneOptions(SparsePattern.Parse(structure), score, 4, 2, true), threads, default).Run(weights, N, moments, sparsity);

    private static void AssertPattern(float[] values, SparsePattern pattern, double sparsity)
    {
        if (pattern.Of > 0)
        {
            for (int group = 0; group < values.Length; group += pattern.Of)
            {
                Assert.Equal(pattern.Of - pattern.Kept, values.AsSpan(group, pattern.Of).Count(0f));
            }

            return;
        }

        int unitColumns = (K + pattern.Columns - 1) / pattern.Columns;
        int units = (N + pattern.Rows - 1) / pattern.Rows * unitColumns;
        bool[] kept = new bool[units];
        for (int i = 0; i < values.Length; i++)
        {
            kept[(i / K / pattern.Rows * unitColumns) + (i % K / pattern.Columns)] |= values[i] != 0;
        }

        Assert.Equal((int)Math.Round(units * (1 - sparsity), MidpointRounding.AwayFromZero), kept.Count(k => k));
    }

    private static double Zeros(Model model, string name)
    {
        float[] values = Pipeline.Values(model.Initializer(name));
        return values.Count(v => v == 0) / (double)values.Length;
    }

    private static Model Sparsify(Model model, string options) => Pipeline.Run(model, Pipeline.Make("sparsify", options));

    /// <summary>Four layers with sigmoids between them.</summary>
    private static Model Network() => Ir.Model(Ir.Graph(
        "x",
        "y",
        [
            Ir.Op("MatMul", "x,first", "a"), Ir.Op("Sigmoid", "a", "b"), Ir.Op("MatMul", "b,middle", "c"), Ir.Op("Softplus", "c", "d"), Ir.Op("MatMul", "d,x.down_proj.weight", "e"), Ir.Op("Softplus", "e", "f"),
            Ir.Op("MatMul", "f,last", "y"),
        ],
        Ir.Random("first", 128, 128),
        Ir.Random("middle", 128, 128),
        Ir.Random("x.down_proj.weight", 128, 128),
        Ir.Random("last", 128, 128)));
}
