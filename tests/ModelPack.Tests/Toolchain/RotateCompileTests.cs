using ModelPack.Compiler;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Passes;
using ModelPack.Tests.Runtime;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Pass rotate through the whole toolchain: ONNX Runtime gives the outputs of the model as it was.</summary>
public sealed class RotateCompileTests
{
    private const int Vocabulary = 40;
    private const int Width = 48;
    private const int Heads = 3;
    private const int HeadSize = 16;
    private const int Neurons = 96;
    private const int Length = 11;

    [Theory]
    [InlineData("none", 58)]
    [InlineData("down", 58)]
    public void SampleModel_rotated_computesTheSame(string online, int constants)
    {
        using var folder = new TempFolder();
        string sample = RepositoryTree.PathTo("samples", "models", "tinyllama");
        string model = Path.Combine(sample, "model.onnx");
        CompileResult result = Compile(folder, model, "m.mpack", $$"""{"pass":"rotate","online":"{{online}}"}""");
        Assert.Empty(result.Warnings);
        Assert.Equal(constants, Measured(model, $$"""{"online":"{{online}}"}""", "constants_rotated"));

        long[] ids = [.. Enumerable.Range(0, 64).Select(i => (long)(i * 331 % 4096))];
        float[] expected = Run(model, ids);
        float[] actual = Run(folder["m.mpack"], ids);
        Assert.InRange(Largest(expected, actual), 1e-7, 2e-4);
    }

    [Theory]
    [InlineData("simplified", "none", 0)]
    [InlineData("simplified", "down", 0)]
    [InlineData("written", "down", 0)]
    [InlineData("written", "none", 16)]
    [InlineData("layer", "none", 0)]
    [InlineData("layer", "down", 8)]
    [InlineData("layer-written", "down", 0)]
    public void Network_rotated_computesTheSame_onAnyNumberOfThreads(string norm, string online, int block)
    {
        using var folder = new TempFolder();
        string model = folder["model.onnx"];
        File.WriteAllBytes(model, Network(norm));
        string pass = $$"""{"pass":"rotate","online":"{{online}}","block":{{block}}}""";
        CompileResult result = Compile(folder, model, "m.mpack", pass);
        Compile(folder, model, "m1.mpack", pass, threads: 1);

        Assert.Empty(result.Warnings);
        Assert.Equal(1, Measured(model, "{}", "heads_rotated"));
        Assert.Equal(File.ReadAllBytes(folder["m1.mpack"]), File.ReadAllBytes(folder["m.mpack"]));
        float[] expected = RunNetwork(model);
        float[] actual = RunNetwork(folder["m.mpack"]);
        Assert.InRange(Largest(expected, actual), float.Epsilon, 1e-5 * Enumerable.Max(expected, Math.Abs));
    }

    /// <summary>The cheapest of 48 blocks goes: with channels in another order no more is lost than without, which a single misplaced channel would undo.</summary>
    [Theory]
    [InlineData("hidden", 40)]
    [InlineData("all", 75)]
    public void SampleModel_withChannelsInAnotherOrder_losesNoMore(string permute, int constants)
    {
        using var folder = new TempFolder();
        string model = RepositoryTree.PathTo("samples", "models", "tinyllama", "model.onnx");
        string Options(string order) => $$"""{"structure":"64x64","sparsity_percent":2,"protect":[],"permute":"{{order}}"}""";
        string Pass(string order) => $$"""{"pass":"sparsify",{{Options(order)[1..]}}""";
        Compile(folder, model, "none.mpack", Pass("none"));
        Compile(folder, model, "m.mpack", Pass(permute));
        Assert.InRange(Measured(model, Options(permute), "tensors_permuted", "sparsify"), constants / 2, constants);

        long[] ids = [.. Enumerable.Range(0, 64).Select(i => (long)(i * 331 % 4096))];
        float[] expected = Run(model, ids);
        Assert.InRange(Largest(expected, Run(folder["m.mpack"], ids)), 1e-7, 1.5 * Largest(expected, Run(folder["none.mpack"], ids)));
    }

    /// <summary>Half of the channels between layers are zero, every other one: in another order they are half of the blocks, and dropping these changes nothing.</summary>
    [Theory]
    [InlineData("simplified", "hidden")]
    [InlineData("written", "all")]
    [InlineData("layer", "all")]
    [InlineData("layer-written", "all")]
    public void Network_withChannelsInAnotherOrder_losesNothingOfWhatCounts_onAnyNumberOfThreads(string norm, string permute)
    {
        using var folder = new TempFolder();
        string model = folder["model.onnx"];
        File.WriteAllBytes(model, Network(norm, halfZero: true));
        string Pass(string order) => $$"""{"pass":"sparsify","structure":"8x8","sparsity_percent":50,"force":true,"protect":[],"min_elements":1,"permute":"{{order}}"}""";
        Compile(folder, model, "m.mpack", Pass(permute));
        Compile(folder, model, "m1.mpack", Pass(permute), threads: 1);
        Compile(folder, model, "none.mpack", Pass("none"));

        Assert.Equal(File.ReadAllBytes(folder["m1.mpack"]), File.ReadAllBytes(folder["m.mpack"]));
        float[] expected = RunNetwork(model);
        double most = Enumerable.Max(expected, Math.Abs);
        Assert.InRange(Largest(expected, RunNetwork(folder["m.mpack"])), float.Epsilon, 1e-5 * most);
        Assert.InRange(Largest(expected, RunNetwork(folder["none.mpack"])), 1e-2 * most, double.MaxValue);
    }

    [Theory]
    [InlineData("written")]
    [InlineData("layer")]
    public void Outlier_channels_areSpread_soThatFourBitsLoseLess(string norm)
    {
        using var folder = new TempFolder();
        string model = folder["model.onnx"];
        File.WriteAllBytes(model, Network(norm));
        float[] expected = RunNetwork(model);
        double Error(string rotate)
        {
            string quantize = """{"pass":"quantize","format":"int4(block=16)","min_elements":1,"ends":"same"}""";
            Compile(folder, model, "q.mpack", rotate.Length > 0 ? $"{rotate},{quantize}" : quantize);
            return RunNetwork(folder["q.mpack"]).Zip(expected, (a, b) => ((double)a - b) * ((double)a - b)).Sum();
        }

        double plain = Error("");
        Assert.InRange(Error("""{"pass":"rotate"}""") / plain, 0, 0.8);
    }

    /// <summary>ids -> embed -> norm -> v (+ bias) -> heads weighted by p -> o -> + -> norm -> up, gate -> Relu(gate) * up -> down -> + -> norm -> embed^T -> logits. One channel of the layers' inputs is small, and its weights large.</summary>
    private static byte[] Network(string norm, bool halfZero = false)
    {
        // Every other channel between layers.
        float[] Hidden(float[] weights, int channels, bool rows)
        {
            for (int i = 0; i < weights.Length && halfZero; i++)
            {
                weights[i] *= (rows ? i / (weights.Length / channels) : i % channels) % 2;
            }

            return weights;
        }

        OnnxBuilder builder = new OnnxBuilder()
            .Input("ids", OnnxBuilder.Int64, 1, Length)
            .Input("p", OnnxBuilder.Float, 1, Heads, Length, Length)
            .Output("logits", OnnxBuilder.Float, 1, Length, Vocabulary)
            .Initializer("embed", SmallModels.Values(Vocabulary * Width, 1), Vocabulary, Width)
            .Initializer("v", Hidden(Reader(Heads * HeadSize, 2), Heads * HeadSize, rows: false), Width, Heads * HeadSize)
            .Initializer("v_bias", SmallModels.Values(Heads * HeadSize, 3), Heads * HeadSize)
            .Initializer("o", Hidden(SmallModels.Values(Heads * HeadSize * Width, 4), Heads * HeadSize, rows: true), Heads * HeadSize, Width)
            .Initializer("up", Hidden(Reader(Neurons, 5), Neurons, rows: false), Width, Neurons)
            .Initializer("gate", Hidden(Reader(Neurons, 6), Neurons, rows: false), Width, Neurons)
            .Initializer("down", Hidden(SmallModels.Values(Neurons * Width, 7), Neurons, rows: true), Neurons, Width)
            .Initializer("split", [1L, -1, Heads, HeadSize], 4)
            .Initializer("join", [1L, -1, Heads * HeadSize], 3)
            .Initializer("epsilon", [1e-5f])
            .Node("Gather", ["embed", "ids"], ["x0"]);
        Norm(builder, "x0", "n0", norm, 11);
        builder.Node("MatMul", ["n0", "v"], ["v0"]).Node("Add", ["v0", "v_bias"], ["v1"])
            .Node("Reshape", ["v1", "split"], ["v2"]).Node("Transpose", ["v2"], ["v3"], attributes: ("perm", (long[])[0, 2, 1, 3]))
            .Node("MatMul", ["p", "v3"], ["a0"]).Node("Transpose", ["a0"], ["a1"], attributes: ("perm", (long[])[0, 2, 1, 3]))
            .Node("Reshape", ["a1", "join"], ["a2"]).Node("MatMul", ["a2", "o"], ["a3"]).Node("Add", ["x0", "a3"], ["x1"]);
        Norm(builder, "x1", "n1", norm, 12);
        builder.Node("MatMul", ["n1", "up"], ["u"]).Node("MatMul", ["n1", "gate"], ["g"]).Node("Relu", ["g"], ["r"]).Node("Mul", ["r", "u"], ["m"])
            .Node("MatMul", ["m", "down"], ["d"]).Node("Add", ["d", "x1"], ["x2"]);
        Norm(builder, "x2", "n2", norm, 13);
        return builder.Node("Transpose", ["embed"], ["head"], attributes: ("perm", (long[])[1, 0])).Node("MatMul", ["n2", "head"], ["logits"]).Build();
    }

    private static float[] Reader(int outputs, ulong seed)
    {
        float[] weight = SmallModels.Values(Width * outputs, seed);
        foreach (ref float value in weight.AsSpan(5 * outputs, outputs))
        {
            value *= 30;
        }

        return weight;
    }

    private static void Norm(OnnxBuilder builder, string value, string output, string norm, ulong seed)
    {
        float[] gain = SmallModels.Values(Width, seed);
        gain[5] /= 30;
        builder.Initializer($"{output}_gain", gain, Width);
        if (norm.StartsWith("layer", StringComparison.Ordinal))
        {
            builder.Initializer($"{output}_bias", SmallModels.Values(Width, seed + 20), Width);
        }

        if (norm == "layer")
        {
            builder.Node("LayerNormalization", [value, $"{output}_gain", $"{output}_bias"], [output], attributes: [("axis", -1L), ("epsilon", 1e-5f)]);
            return;
        }

        if (norm == "layer-written")
        {
            builder.Node("ReduceMean", [value], [$"{output}_center"], attributes: ("axes", (long[])[-1]))
                .Node("Sub", [value, $"{output}_center"], [$"{output}_centered"]);
            value = $"{output}_centered";
        }

        if (norm == "simplified")
        {
            builder.Node("SimplifiedLayerNormalization", [value, $"{output}_gain"], [output], attributes: [("axis", -1), ("epsilon", 1e-5f)]);
            return;
        }

        builder.Node("Mul", [value, value], [$"{output}_squares"])
            .Node("ReduceMean", [$"{output}_squares"], [$"{output}_mean"], attributes: ("axes", (long[])[-1]))
            .Node("Add", [$"{output}_mean", "epsilon"], [$"{output}_shifted"]).Node("Sqrt", [$"{output}_shifted"], [$"{output}_rms"])
            .Node("Div", [value, $"{output}_rms"], [$"{output}_unit"]).Node("Mul", [$"{output}_unit", $"{output}_gain"], [norm == "written" ? output : $"{output}_gained"]);
        if (norm == "layer-written")
        {
            builder.Node("Add", [$"{output}_gained", $"{output}_bias"], [output]);
        }
    }

    private static CompileResult Compile(TempFolder folder, string model, string output, string passes, int threads = 2) => ModelCompiler.Compile(new CompileRequest
    {
        Input = model,
        Output = folder[output],
        Recipe = folder.Write("recipe.json", $$"""{"name":"rotated","passes":["canonicalize","fold-constants",{{passes}}]}"""),
        Threads = threads,
    });

    private static double Measured(string model, string options, string quantity, string pass = "rotate")
    {
        using ImportedModel imported = ModelPack.Containers.Containers.For(model).Import(model);
        PassContext context = Pipelines.CreateContext(new CompileRequest { Input = model, Output = "" }, default);
        new PassManager([Pipeline.Make("canonicalize"), Pipeline.Make("fold-constants"), Pipeline.Make(pass, options)]).Run(imported.Model, context);
        return context.Measurements.Where(m => m.Quantity == quantity).Max(m => m.Value);
    }

    private static float[] Run(string path, long[] ids)
    {
        using ModelSession session = ModelSession.Open(path);
        return session.Run(NamedTensor.Of("input_ids", ids, 1, ids.Length))[0].Values<float>().ToArray();
    }

    private static float[] RunNetwork(string path)
    {
        long[] ids = [.. Enumerable.Range(0, Length).Select(i => (long)(i * 7 % Vocabulary))];
        using ModelSession session = ModelSession.Open(path);
        return session.Run(NamedTensor.Of("ids", ids, 1, Length), NamedTensor.Of("p", SmallModels.Values(Heads * Length * Length, 9).ToArray(), 1, Heads, Length, Length))[0].Values<float>().ToArray();
    }

    private static double Largest(float[] expected, float[] actual) => Enumerable.Range(0, expected.Length).Max(i => Math.Abs(expected[i] - actual[i]));
}
