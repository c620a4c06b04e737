using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Compiler.Linear;
using ModelPack.Passes;
using ModelPack.Tests.Compiler;
using Xunit;
using static ModelPack.Tests.Passes.AlgorithmCases;

namespace ModelPack.Tests.Passes;

/// <summary>Pass decompose and the algorithms behind it.</summary>
[Trait("Category", "Simd")]
public sealed class DecomposeTests
{
    private const int N = 40;
    private const int K = 60;

    [Theory]
    [InlineData("lowrank", 40, 60, 2)]
    [InlineData("lowrank", 60, 40, 2)]
    [InlineData("pivotrank", 60, 40, 2)]
    [InlineData("mpo", 40, 60, 2)]
    [InlineData("mpo", 40, 60, 3)]
    [InlineData("mpo", 48, 36, 4)]
    [InlineData("mpo", 53, 37, 2)]
    [InlineData("lowrank", 1, 9, 2)]
    public void Full_rank_gives_the_weight_back(string structure, int n, int k, int sites)
    {
        float[] weights = Weights(n, k);
        using var moments = InputMoments.Of(null, k, 0);
        using var whitening = new Whitening(moments, isIdentity: true, 2, default);
        var shape = new RankShape(structure, n, k, sites);
        DecomposedWeight made = new Decomposer(shape, DType.F32, 0, Pipeline.Context(threads: 2)).Run(weights, moments, whitening, shape.Full);

        Assert.InRange(Relative(weights, Pipeline.Values(made.Encoding)), 0, 1e-5);
        Assert.InRange(made.Loss, 0, 1e-10);
    }

    [Theory]
    [InlineData("lowrank", 2)]
    [InlineData("pivotrank", 2)]
    [InlineData("mpo", 2)]
    [InlineData("mpo", 3)]
    public void Parameters_are_those_of_the_formula_and_the_error_falls_with_the_rank(string structure, int sites)
    {
        float[] weights = Weights(N, K);
        using var moments = InputMoments.Of(null, K, 0);
        using var whitening = new Whitening(moments, isIdentity: true, 1, default);
        var shape = new RankShape(structure, N, K, sites);
        var decomposer = new Decomposer(shape, DType.F32, 0, Pipeline.Context());
        int[] ranks = [1, 2, 4, 8, 16];
        double[] predicted = decomposer.Losses(weights, whitening, ranks);
        double last = double.MaxValue;
        for (int i = 0; i < ranks.Length; i++)
        {
            var made = (StructuredEncoding)decomposer.Run(weights, moments, whitening, ranks[i]).Encoding;
            double loss = Math.Pow(Relative(weights, Pipeline.Values(made)), 2);

            Assert.Equal(shape.Parameters(ranks[i]), made.Components.Skip(structure == "pivotrank" ? 1 : 0).Sum(c => c.Shape.ElementCount));
            Assert.InRange(loss, 0, (predicted[i] * 1.0001) + 1e-9); // for trains, the bound of TT-SVD
            Assert.True(structure == "mpo" || Math.Abs(loss - predicted[i]) < 1e-5, $"{loss}, not {predicted[i]}");
            Assert.True(loss < last);
            last = loss;
        }
    }

    [Theory]
    [InlineData("lowrank")]
    [InlineData("pivotrank")]
    public void Whitened_loss_is_that_of_the_outputs_and_less_than_without_data(string structure)
    {
        using ActivationStatistics statistics = Statistics(K, 800);
        float[] weights = Weights(N, K);
        double aware = Outputs(structure, 12, statistics, weights, identity: false, out double reported);
        double plain = Outputs(structure, 12, statistics, weights, identity: true, out _);

        Assert.InRange(aware, 0, 0.8 * plain);

        // The damping of the moments is part of what is reported and not of what is measured.
        Assert.InRange(aware, reported * 0.9, reported * 1.1);
    }

    [Fact]
    public void Factors_of_drifted_inputs_are_the_best_of_their_rank_for_the_outputs_as_they_were()
    {
        // The gradient of ||W F - B A X||^2 in B vanishes: (W (H + D) - B A H) A^T = 0.
        using ActivationStatistics statistics = Statistics(K, 800, drift: true);
        using var moments = InputMoments.Of(statistics, K, 0.01);
        using var whitening = new Whitening(moments, isIdentity: false, 1, default);
        float[] weights = Weights(N, K);
        var made = (StructuredEncoding)new Decomposer(new RankShape("lowrank", N, K, 2), DType.F32, 0, Pipeline.Context()).Run(weights, moments, whitening, 10).Encoding;
        float[] target = new float[N * K];
        moments.Target(weights, N, target, 1, default);
        float[] product = new float[N * K];
        moments.Multiply(Pipeline.Values(made), N, product);
        float[] a = Pipeline.Values(made.Components[1]);
        for (int row = 0; row < N; row++)
        {
            for (int r = 0; r < 10; r++)
            {
                double gradient = 0;
                double size = 0;
                for (int k = 0; k < K; k++)
                {
                    gradient += (target[(row * K) + k] - product[(row * K) + k]) * (double)a[(r * K) + k];
                    size += Math.Abs(target[(row * K) + k] * (double)a[(r * K) + k]);
                }

                Assert.InRange(Math.Abs(gradient), 0, 1e-4 * size);
            }
        }
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void Healing_of_cores_lowers_the_error_of_outputs_round_by_round(int sites)
    {
        using ActivationStatistics statistics = Statistics(K, 800);
        using var moments = InputMoments.Of(statistics, K, 0.01);
        using var whitening = new Whitening(moments, isIdentity: false, 1, default);
        float[] weights = Weights(N, K);
        double last = double.MaxValue;
        double first = 0;
        foreach (int rounds in new[] { 0, 1, 3 })
        {
            double loss = new Decomposer(new RankShape("mpo", N, K, sites), DType.F32, rounds, Pipeline.Context()).Run(weights, moments, whitening, 6).Loss;
            first = rounds == 0 ? loss : first;
            Assert.True(loss < last, $"{rounds} rounds: {loss}, not below {last}");
            last = loss;
        }

        Assert.InRange(last, 0, 0.9 * first);
    }

    [Theory]
    [InlineData("lowrank")]
    [InlineData("pivotrank")]
    [InlineData("mpo")]
    public void Threads_do_not_change_a_bit(string structure)
    {
        using ActivationStatistics statistics = Statistics(K, 800, drift: true);
        using var moments = InputMoments.Of(statistics, K, 0.01);
        float[] weights = Weights(N, K);
        float[][] made = [.. new[] { 1, 3 }.Select(threads =>
        {
            using var whitening = new Whitening(moments, isIdentity: false, threads, default);
            return Pipeline.Values(new Decomposer(new RankShape(structure, N, K, 2), DType.F32, 2, Pipeline.Context(threads: threads)).Run(weights, moments, whitening, 8).Encoding);
        })];
        Assert.Equal(made[0], made[1]);
    }

    [Fact]
    public void Pivots_make_the_other_rows_with_small_combinations()
    {
        using Matrix rows = SingularValuesTests.Random(5, 30, 7);
        (int[] chosen, Matrix combinations) = PivotChoice.Run(rows);
        Assert.Equal(chosen.Order(), chosen);
        int[] others = [.. Enumerable.Range(0, 30).Except(chosen)];
        for (int i = 0; i < others.Length; i++)
        {
            for (int column = 0; column < 7; column++)
            {
                double sum = Enumerable.Range(0, 7).Sum(j => combinations[i, j] * rows[chosen[j], column]);
                Assert.InRange(rows[others[i], column], sum - 1e-12, sum + 1e-12);
                Assert.InRange(Math.Abs(combinations[i, column]), 0, 8);
            }
        }

        combinations.Dispose();
    }

    [Fact]
    public void Shares_meet_the_budget_and_spare_what_the_model_needs()
    {
        long[] parameters = [100, 200, 300, 400];
        int[] shared = RankAllocation.Solve([new(parameters, [4, 1, 0.3, 0]), new(parameters, [400, 100, 30, 0]), new(parameters, [4, 1, 0.3, 0])], 800)!;
        Assert.InRange(shared.Sum(i => parameters[i]), 700, 800);
        Assert.True(shared[1] == 3 && shared[0] < 3);
        Assert.Null(RankAllocation.Solve([new(parameters, [4, 1, 0.3, 0])], 99));
    }

    [Theory]
    [InlineData("pivotrank", 60)]
    [InlineData("lowrank", 40)]
    [InlineData("mpo", 50)]
    public void Pass_keeps_no_more_parameters_than_asked_for(string structure, int percent)
    {
        Model model = Decompose($$"""{"structure":"{{structure}}","parameters_percent":{{percent}},"ends":"decompose"}""", out PassContext context);
        double share = context.Measurements.Last(m => m.Quantity == "parameters_share" && m.Tensor is null).Value;
        Assert.InRange(share, (percent / 100.0) - 0.12, percent / 100.0);
        Assert.StartsWith($"permuted(perm=1x0) > {structure}(", model.Initializer("middle").Encoding.Describe(), StringComparison.Ordinal);
    }

    [Fact]
    public void Ends_and_down_projections_stay_and_factors_are_quantised()
    {
        Model model = Pipeline.Run(Network(), Pipeline.Make("decompose", """{"structure":"lowrank","parameters_percent":75}"""), Pipeline.Make("quantize", """{"format":"int8"}"""));
        Assert.Contains("lowrank(", model.Initializer("middle").Encoding.Describe(), StringComparison.Ordinal);
        Assert.EndsWith("> int8(block=32,scale=f16,search=none,symmetric=true)", model.Initializer("middle").Encoding.Describe(), StringComparison.Ordinal);
        Assert.All(new[] { "first", "last", "x.down_proj.weight" }, name => Assert.DoesNotContain("lowrank", model.Initializer(name).Encoding.Describe(), StringComparison.Ordinal));
        Assert.InRange(Relative(Pipeline.Values(Network().Initializer("middle")), Pipeline.Values(model.Initializer("middle"))), 0.1, 0.9);
    }

    [Fact]
    public void A_rank_that_is_too_large_is_MP2243_and_names_the_tensor()
    {
        var error = Assert.Throws<ModelPackException>(() => Decompose("""{"rank":500,"ends":"decompose"}""", out _));
        Assert.Equal(ErrorCodes.RankImpossible, error.Code);
        Assert.Contains("'first'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_budget_that_cannot_be_met_is_MP2244_and_says_the_closest()
    {
        var error = Assert.Throws<ModelPackException>(() => Decompose("""{"parameters_percent":1}""", out _));
        Assert.Equal(ErrorCodes.RankBudget, error.Code);
        Assert.Contains("the closest is", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_error_budget_gives_each_layer_its_least_rank()
    {
        Model model = Decompose("""{"structure":"lowrank","max_error_permille":600,"rank_multiple":1}""", out _);
        Assert.InRange(Relative(Pipeline.Values(Network().Initializer("middle")), Pipeline.Values(model.Initializer("middle"))), 0.5, 0.6);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void Weights_that_are_no_numbers_stay_and_are_named(float bad)
    {
        float[] weights = Weights(128, 128);
        weights[77] = bad;
        var context = Pipeline.Context();
        Model model = Pipeline.Run(Network(weights), context, Pipeline.Make("decompose"));
        Assert.Contains(context.Diagnostics, d => d.Tensor == "middle" && d.Severity == DiagnosticSeverity.Warning && d.Message.Contains("element", StringComparison.Ordinal));
        Assert.Equal("f32", model.Initializer("middle").Encoding.Describe());
    }

    [Theory]
    [InlineData("lowrank")]
    [InlineData("pivotrank")]
    [InlineData("mpo")]
    public void Zero_matrices_stay_zero(string structure)
    {
        Model model = Pipeline.Run(Network(new float[128 * 128]), Pipeline.Make("decompose", $$"""{"structure":"{{structure}}"}"""));
        Assert.All(Pipeline.Values(model.Initializer("middle")), v => Assert.Equal(0, v));
    }

    [Fact]
    public void Layers_one_wide_stay_because_nothing_would_be_saved()
    {
        Assert.Empty(new RankShape("lowrank", 1, 4096, 2).Choices(8));
        Assert.Empty(new RankShape("pivotrank", 4096, 1, 2).Choices(8));
        Assert.Empty(new RankShape("pivotrank", 1, 4096, 2).Choices(8));
    }

    private static double Outputs(string structure, int rank, ActivationStatistics statistics, float[] weights, bool identity, out double reported)
    {
        using var moments = InputMoments.Of(statistics, K, 0.001);
        using var whitening = new Whitening(moments, identity, 1, default);
        DecomposedWeight made = new Decomposer(new RankShape(structure, N, K, 2), DType.F32, 0, Pipeline.Context()).Run(weights, moments, whitening, rank);
        reported = made.Loss;
        return OutputError(weights, Pipeline.Values(made.Encoding), statistics) / OutputError(weights, new float[weights.Length], statistics);
    }

    private static double Relative(float[] expected, float[] actual)
    {
        double error = 0;
        double total = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            error += ((double)expected[i] - actual[i]) * ((double)expected[i] - actual[i]);
            total += (double)expected[i] * expected[i];
        }

        return Math.Sqrt(error / total);
    }

    private static Model Decompose(string options, out PassContext context)
    {
        context = Pipeline.Context();
        return Pipeline.Run(Network(), context, Pipeline.Make("decompose", options));
    }

    /// <summary>Four layers with curves between them.</summary>
    private static Model Network(float[]? middle = null) => Ir.Model(Ir.Graph(
        "x",
        "y",
        [
            Ir.Op("MatMul", "x,first", "a"), Ir.Op("Sigmoid", "a", "b"), Ir.Op("MatMul", "b,middle", "c"), Ir.Op("Softplus", "c", "d"), Ir.Op("MatMul", "d,x.down_proj.weight", "e"), Ir.Op("Softplus", "e", "f"),
            Ir.Op("MatMul", "f,last", "y"),
        ],
        Ir.Random("first", 128, 128),
        middle is null ? Ir.Random("middle", 128, 128) : Ir.F32("middle", [128, 128], middle),
        Ir.Random("x.down_proj.weight", 128, 128),
        Ir.Random("last", 128, 128)));
}
