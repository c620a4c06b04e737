using ModelPack.Compiler;
using ModelPack.Passes;
using ModelPack.Tests.Compiler;
using Xunit;
using static ModelPack.Tests.Passes.AlgorithmCases;

namespace ModelPack.Tests.Passes;

/// <summary>Convolutions, Kronecker products, residuals and shared factors of pass decompose.</summary>
[Trait("Category", "Simd")]
public sealed class DecomposeKindsTests
{
    private const int Outputs = 24;
    private const int Inputs = 10;
    private const int Kernel = 9;

    [Theory]
    [InlineData("tucker2", 24)]
    [InlineData("cp", 90)]
    public void Full_rank_gives_the_kernel_back(string structure, int rank)
    {
        float[] weights = Weights(Outputs, Inputs * Kernel);
        DecomposedWeight made = Run(structure, weights, rank);

        Assert.InRange(Relative(weights, Pipeline.Values(made.Encoding)), 0, structure == "cp" ? 2e-2 : 1e-5);
    }

    [Theory]
    [InlineData("tucker2")]
    [InlineData("cp")]
    public void Parameters_are_those_of_the_formula_and_the_error_falls_with_the_rank(string structure)
    {
        float[] weights = Weights(Outputs, Inputs * Kernel);
        var shape = new RankShape(structure, Outputs, Inputs * Kernel, 2, Kernel);
        double last = double.MaxValue;
        foreach (int rank in new[] { 2, 6, 12, 18 })
        {
            DecomposedWeight made = Run(structure, weights, rank);
            double loss = Math.Pow(Relative(weights, Pipeline.Values(made.Encoding)), 2);
            Assert.Equal(shape.Parameters(rank), ((StructuredEncoding)made.Encoding).Components.Sum(c => c.Shape.ElementCount));
            Assert.Equal(loss, made.Loss, 1e-4);
            Assert.True(loss < last, $"{loss} at {rank}, {last} before");
            last = loss;
        }
    }

    [Fact]
    public void Losses_of_tucker_are_no_less_than_what_is_lost()
    {
        float[] weights = Weights(Outputs, Inputs * Kernel);
        using var moments = InputMoments.Of(null, Inputs * Kernel, 0);
        using var whitening = new Whitening(moments, isIdentity: true, 1, default);
        int[] ranks = [2, 6, 12, 18, 24];
        double[] losses = new Decomposer(new RankShape("tucker2", Outputs, Inputs * Kernel, 2, Kernel), DType.F32, 0, Pipeline.Context()).Losses(weights, whitening, ranks);
        for (int i = 0; i < ranks.Length; i++)
        {
            Assert.InRange(Math.Pow(Relative(weights, Pipeline.Values(Run("tucker2", weights, ranks[i]).Encoding)), 2), 0, losses[i] + 1e-6);
        }
    }

    /// <summary>Most of what is seen comes from few inputs: within the same parameters, fewer of them and more outputs lose less than equal parts of both.</summary>
    [Fact]
    public void Inputs_and_outputs_of_tucker_are_balanced_within_the_parameters()
    {
        float[] weights = Weights(Outputs, Inputs * Kernel);
        for (int o = 0; o < Outputs; o++)
        {
            for (int i = 2; i < Inputs; i++)
            {
                foreach (ref float weight in weights.AsSpan(((o * Inputs) + i) * Kernel, Kernel))
                {
                    weight *= 0.02f;
                }
            }
        }

        using var moments = InputMoments.Of(null, Inputs * Kernel, 0);
        using var whitening = new Whitening(moments, isIdentity: true, 1, default);
        var shape = new RankShape("tucker2", Outputs, Inputs * Kernel, 2, Kernel);
        Decomposer balancing = new(shape, DType.F32, 0, Pipeline.Context()) { Balances = true };
        foreach (int rank in new[] { 14, 18 })
        {
            DecomposedWeight made = balancing.Run(weights, moments, whitening, rank);
            DecomposedWeight even = Run("tucker2", weights, rank);
            Assert.InRange(((StructuredEncoding)made.Encoding).Components.Sum(c => c.Shape.ElementCount), 1, shape.Parameters(rank));
            Assert.InRange(made.Loss, 0, even.Loss * 0.9);
            Assert.InRange(made.Loss, 0, balancing.Losses(weights, whitening, [rank])[0] + 1e-6);
        }
    }

    [Fact]
    public void Balanced_tucker_is_the_same_on_any_number_of_threads()
    {
        float[] weights = Weights(Outputs, Inputs * Kernel);
        using var moments = InputMoments.Of(null, Inputs * Kernel, 0);
        using var whitening = new Whitening(moments, isIdentity: true, 1, default);
        float[] Made(int threads) => Pipeline.Values(
            new Decomposer(new RankShape("tucker2", Outputs, Inputs * Kernel, 2, Kernel), DType.F32, 2, Pipeline.Context(threads: threads)) { Balances = true }.Run(weights, moments, whitening, 9).Encoding);
        Assert.Equal(Made(1), Made(3));
    }

    /// <summary>Rounds of conjugate gradients on the inputs: least squares on the data never get worse, and here better.</summary>
    [Fact]
    public void Rounds_improve_the_inputs_of_tucker()
    {
        float[] weights = Weights(Outputs, Inputs * Kernel);
        using var moments = InputMoments.Of(null, Inputs * Kernel, 0);
        using var whitening = new Whitening(moments, isIdentity: true, 1, default);
        var shape = new RankShape("tucker2", Outputs, Inputs * Kernel, 2, Kernel);
        double last = new Decomposer(shape, DType.F32, 0, Pipeline.Context()).Run(weights, moments, whitening, 8).Loss;
        foreach (int rounds in new[] { 1, 2, 4 })
        {
            double loss = new Decomposer(shape, DType.F32, rounds, Pipeline.Context()).Run(weights, moments, whitening, 8).Loss;
            Assert.InRange(loss, 0, last - 1e-6);
            last = loss;
        }
    }

    [Fact]
    public void A_sum_of_two_products_of_vectors_is_found()
    {
        (float[] b, float[] s, float[] a) = (Weights(Outputs, 2), Weights(2, Kernel), Weights(2, Inputs));
        float[] weights = [.. Enumerable.Range(0, Outputs * Inputs * Kernel).Select(at => Enumerable.Range(0, 2).Sum(p =>
            b[(at / (Inputs * Kernel) * 2) + p] * s[(p * Kernel) + (at % Kernel)] * a[(p * Inputs) + (at / Kernel % Inputs)]))];
        Assert.InRange(Relative(weights, Pipeline.Values(Run("cp", weights, 2).Encoding)), 0, 1e-3);
    }

    [Theory]
    [InlineData("tucker2")]
    [InlineData("cp")]
    public void Zero_kernels_stay_zero(string structure) =>
        Assert.All(Pipeline.Values(Run(structure, new float[Outputs * Inputs * Kernel], 3).Encoding), v => Assert.Equal(0, v));

    [Fact]
    public void A_sum_of_Kronecker_products_is_found()
    {
        (float[] a, float[] b) = (Weights(8, 32), Weights(16, 16));
        float[] weights = [.. Enumerable.Range(0, 128 * 128).Select(at => (at / 128, at % 128)).Select(p => a[(p.Item1 / 16 * 8) + (p.Item2 / 16)] * b[(p.Item1 % 16 * 16) + (p.Item2 % 16)])];
        Model model = Pipeline.Run(Network(weights), Pipeline.Make("decompose", """{"structure":"kronecker","rank":1,"ends":"decompose"}"""));
        Assert.Equal("permuted(perm=1x0) > mpo(columns=8x16,ranks=1,rows=8x16) > f32", model.Initializer("middle").Encoding.Describe());
        Assert.InRange(Relative(weights, Pipeline.Values(model.Initializer("middle"))), 0, 1e-5);
    }

    [Theory]
    [InlineData("int4(block=32)")]
    [InlineData("int3(block=32)")]
    public void What_factors_leave_is_coded_with_less_error_than_the_weight(string format)
    {
        Model plain = Pipeline.Run(Network(), Pipeline.Make("quantize", $$"""{"format":"{{format}}"}"""));
        Model model = Pipeline.Run(Network(), Pipeline.Make("decompose", $$"""{"residual":"{{format}}","rank":8}"""), Pipeline.Make("quantize", """{"format":"int8"}"""));
        string tree = model.Initializer("middle").Encoding.Describe();
        Assert.StartsWith("permuted(perm=1x0) > sum > { lowrank(rank=8) > f32; " + format.Split('(')[0] + "(", tree, StringComparison.Ordinal);
        float[] weights = Pipeline.Values(Network().Initializer("middle"));
        double coded = Relative(weights, Pipeline.Values(plain.Initializer("middle")));
        Assert.InRange(Relative(weights, Pipeline.Values(model.Initializer("middle"))), 0.3 * coded, 0.95 * coded);
    }

    [Fact]
    public void Entries_that_factors_leave_are_kept()
    {
        float[] weights = [.. Enumerable.Range(0, 128 * 128).Select(i => (i / 128 % 7 * 0.1f) + (i % 128 % 5 * 0.2f) + (i % 331 == 0 ? 3f : 0))];
        Model model = Pipeline.Run(Network(weights), Pipeline.Make("decompose", """{"residual":"sparse","rank":4,"residual_permille":5,"exclusions":"none"}"""));
        Assert.InRange(Relative(weights, Pipeline.Values(model.Initializer("middle"))), 0, 2e-2);
        Assert.Contains("sum > {", model.Initializer("middle").Encoding.Describe(), StringComparison.Ordinal);
    }

    [Fact]
    public void Layers_of_one_input_share_a_factor()
    {
        Model model = Ir.Model(Ir.Graph(
            "x",
            "y",
            [Ir.Op("MatMul", "x,first", "a"), Ir.Op("Sigmoid", "a", "b"), Ir.Op("MatMul", "b,one", "c"), Ir.Op("MatMul", "b,two", "d"), Ir.Op("Add", "c,d", "e"), Ir.Op("Softplus", "e", "f"), Ir.Op("MatMul", "f,last", "y")],
            Ir.Random("first", 128, 128),
            Ir.Random("one", 128, 96),
            Ir.Random("two", 128, 96),
            Ir.Random("last", 96, 128)));
        Model made = Pipeline.Run(model, Pipeline.Make("decompose", """{"structure":"lowrank","share":"inputs","parameters_percent":80,"exclusions":"none"}"""));
        StructuredEncoding[] factors = [.. new[] { "one", "two" }.Select(n => DecomposedMatrix.Of(made.Initializer(n).Encoding)!)];
        Assert.Same(factors[0].Components[1], factors[1].Components[1]);
        Assert.All(factors, f => Assert.Equal(96, f.Shape[0]));
        Assert.InRange(Relative(Pipeline.Values(model.Initializer("two")), Pipeline.Values(made.Initializer("two"))), 0.1, 0.8);
    }

    [Fact]
    public void A_budget_in_bytes_is_kept_and_one_too_small_says_the_closest()
    {
        int whole = 4 * 128 * 128 * sizeof(float);
        Model model = Pipeline.Run(Network(), Pipeline.Make("decompose", $$"""{"structure":"lowrank","max_bytes":{{whole * 8 / 10}},"ends":"decompose","exclusions":"none"}"""));
        long bytes = model.Graph.Initializers.Sum(t => DecomposedMatrix.Of(t.Encoding) is StructuredEncoding f ? f.Components.Sum(c => c.Shape.ElementCount) : t.Shape.ElementCount) * sizeof(float);
        Assert.InRange(bytes, whole * 6 / 10, whole * 8 / 10);
        var error = Assert.Throws<ModelPackException>(() => Pipeline.Run(Network(), Pipeline.Make("decompose", """{"max_bytes":100}""")));
        Assert.Equal(ErrorCodes.RankBudget, error.Code);
        Assert.Contains("bytes)", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Kernels_of_one_element_and_groups_stay()
    {
        Model model = Ir.Model(Ir.Graph(
            "x",
            "y",
            [Ir.Op("Conv", "x,a", "b"), Ir.Op("Relu", "b", "c"), Ir.Op("Conv", "c,k", "d"), Ir.Op("Relu", "d", "e"), Ir.Op("Conv", "e,z", "y")],
            Ir.Random("a", 32, 32, 1, 1),
            Ir.Random("k", 32, 32, 3, 3),
            Ir.Random("z", 32, 32, 1, 1)));
        Model made = Pipeline.Run(model, Pipeline.Make("decompose", """{"convolutions":"tucker2","ends":"decompose","parameters_percent":60}"""));
        Assert.StartsWith("reshaped > tucker2(", made.Initializer("k").Encoding.Describe(), StringComparison.Ordinal);
        Assert.Equal("f32", made.Initializer("a").Encoding.Describe());
    }

    private static DecomposedWeight Run(string structure, float[] weights, int rank)
    {
        using var moments = InputMoments.Of(null, Inputs * Kernel, 0);
        using var whitening = new Whitening(moments, isIdentity: true, 1, default);
        return new Decomposer(new RankShape(structure, Outputs, Inputs * Kernel, 2, Kernel), DType.F32, 0, Pipeline.Context()).Run(weights, moments, whitening, rank);
    }

    private static double Relative(float[] expected, float[] actual)
    {
        double error = expected.Zip(actual).Sum(p => ((double)p.First - p.Second) * ((double)p.First - p.Second));
        return Math.Sqrt(error / expected.Sum(e => (double)e * e));
    }

    private static Model Network(float[]? middle = null) => Ir.Model(Ir.Graph(
        "x",
        "y",
        [Ir.Op("MatMul", "x,first", "a"), Ir.Op("Sigmoid", "a", "b"), Ir.Op("MatMul", "b,middle", "c"), Ir.Op("Softplus", "c", "d"), Ir.Op("MatMul", "d,other", "e"), Ir.Op("Softplus", "e", "f"), Ir.Op("MatMul", "f,last", "y")],
        Ir.Random("first", 128, 128),
        middle is null ? Ir.Random("middle", 128, 128) : Ir.F32("middle", [128, 128], middle),
        Ir.Random("other", 128, 128),
        Ir.Random("last", 128, 128)));
}
