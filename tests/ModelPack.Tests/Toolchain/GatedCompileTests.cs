using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Gated perceptrons of block-sparse weights become one operator, whose outputs are those of dense execution; others stay as they are.</summary>
public sealed class GatedCompileTests : IDisposable
{
    private const int Width = 96;
    private const int Hidden = 160;

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("silu", "", "GatedMlp(silu)", 3)]
    [InlineData("relu", "", "GatedMlp(relu)", 3)]
    [InlineData("gelu", "", "GatedMlp(gelu)", 3)]
    [InlineData("gelu_tanh", "", "GatedMlp(gelu_tanh)", 3)]
    [InlineData("silu", "swapped", "GatedMlp(silu)", 3)]
    [InlineData("silu", "dense down", "GatedMlp(silu)", 2)]
    [InlineData("silu", "hidden is an output", "GatedMlp(silu)", 2)]
    [InlineData("silu", "gate is an output", "", 0)]
    [InlineData("silu", "activation is an output", "", 0)]
    [InlineData("relu", "activation is an output", "", 0)]
    [InlineData("silu", "up of another input", "", 0)]
    [InlineData("silu", "dense up", "", 0)]
    [InlineData("tanh", "", "", 0)]
    public void Artifact_gives_the_outputs_of_dense_execution(string activation, string variant, string fused, int weights)
    {
        string packed = Compile(activation, variant);

        string[] kernels = [.. Inspection.Explain(packed).Nodes.Select(n => n.Kernel)];
        Assert.Equal(weights, kernels.Count(k => fused.Length > 0 && k.EndsWith(" in " + fused, StringComparison.Ordinal)));
        Assert.Equal(weights, kernels.Count(k => k.Contains("GatedMlp", StringComparison.Ordinal)));
        foreach (int threads in new[] { 1, 3 })
        {
            using ModelSession model = ModelSession.Open(packed, new ModelSessionOptions { Threads = threads });
            using ModelSession dense = ModelSession.Open(packed, new ModelSessionOptions { Threads = threads, ExpandAll = true });
            foreach (int rows in new[] { 1, 9, 150, 0 })
            {
                NamedTensor x = NamedTensor.Of("x", Values.Weights(5, rows * Width), 1, rows, Width);
                NamedTensor other = NamedTensor.Of("other", Values.Weights(6, rows * Width), 1, rows, Width);
                NamedTensor[] inputs = variant == "up of another input" ? [x, other] : [x];
                float[][] expected = [.. dense.Run(inputs).Select(o => o.Values<float>().ToArray())];
                float[][] actual = [.. model.Run(inputs).Select(o => o.Values<float>().ToArray())];
                Assert.Equal(expected.Select(e => e.Length), actual.Select(a => a.Length));
                for (int o = 0; o < expected.Length; o++)
                {
                    double scale = expected[o].Length == 0 ? 0 : expected[o].Max(Math.Abs);
                    for (int i = 0; i < expected[o].Length; i++)
                    {
                        Assert.True(Math.Abs(actual[o][i] - expected[o][i]) <= 5e-6 * scale, $"{rows} rows, {threads} threads, output {o}, {i}: {actual[o][i]}, not {expected[o][i]}");
                    }
                }
            }
        }
    }

    [Theory]
    [InlineData(0.99, 3)]
    [InlineData(1.2, 0)]
    public void Nearest_measurement_of_the_machine_decides(double ratio, int fused)
    {
        // What is far, by size or rows, says the opposite.
        double other = ratio < 1 ? 1.5 : 0.5;
        var machine = new HardwareProfile
        {
            Name = "test",
            Source = "a test",
            Kind = "cpu",
            Cores = 2,
            Memory = [new MemoryLevel("memory", 0, 10, 20)],
            Gflops = new Dictionary<string, double> { ["f32"] = 100 },
            GatedMlps =
            [
                new GatedMlpConstant(50_000, 128, new ThreadTimes(other, other)),
                new GatedMlpConstant(50_000, 1, new ThreadTimes(other, ratio)),
                new GatedMlpConstant(50_000_000, 1, new ThreadTimes(other, other)),
            ],
        };
        string profile = _folder["machine.json"];
        File.WriteAllBytes(profile, HardwareProfileJson.Write(machine));
        string packed = Compile("silu", "", profile);

        IReadOnlyList<ExplainedNode> nodes = Inspection.Explain(packed).Nodes;
        Assert.Equal(fused, nodes.Count(n => n.Kernel.EndsWith(" in GatedMlp(silu)", StringComparison.Ordinal)));
        Assert.Equal(3, nodes.Count(n => n.Kernel.StartsWith("modelpack:SparseMatMul", StringComparison.Ordinal)));
        Assert.Equal(3 - fused, nodes.Count(n => n.Alternatives.Any(a => a.Kernel == "modelpack:GatedMlp(silu)" && a.Reason.StartsWith("1.20 times the time of the products on test", StringComparison.Ordinal))));
    }

    /// <summary>y = (f(x g) * (x u)) d with most of the 32 x 32 blocks of the weights zero.</summary>
    private string Compile(string activation, string variant, string? profile = null)
    {
        OnnxBuilder model = new OnnxBuilder(20).Input("x", OnnxBuilder.Float, 1, "rows", Width).Output("y", OnnxBuilder.Float, 1, "rows", Width)
            .Initializer("g", Sparse(1, Width, Hidden, true), Width, Hidden)
            .Initializer("u", Sparse(2, Width, Hidden, variant != "dense up"), Width, Hidden)
            .Initializer("d", Sparse(3, Hidden, Width, variant != "dense down"), Hidden, Width);
        string other = "x";
        if (variant == "up of another input")
        {
            model.Input(other = "other", OnnxBuilder.Float, 1, "rows", Width);
        }

        model.Node("MatMul", ["x", "g"], ["gate"]).Node("MatMul", [other, "u"], ["up"]);
        switch (activation)
        {
            case "silu":
                model.Node("Sigmoid", ["gate"], ["s"]).Node("Mul", ["s", "gate"], ["a"]);
                break;
            case "gelu_tanh":
                model.Node("Gelu", ["gate"], ["a"], "", "", ("approximate", "tanh"));
                break;
            default:
                model.Node(activation switch { "relu" => "Relu", "gelu" => "Gelu", _ => "Tanh" }, ["gate"], ["a"]);
                break;
        }

        model.Node("Mul", variant == "swapped" ? ["up", "a"] : ["a", "up"], ["h"]).Node("MatMul", ["h", "d"], ["y"]);
        if (variant.EndsWith("is an output", StringComparison.Ordinal))
        {
            model.Output(variant[0] switch { 'g' => "gate", 'a' => "a", _ => "h" }, OnnxBuilder.Float, 1, "rows", Hidden);
        }

        string packed = _folder["m.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = _folder.Write("m.onnx", model.Build()), Output = packed, Recipe = "lossless", Accuracy = "exact", Profile = profile });
        return packed;
    }

    private static float[] Sparse(ulong seed, int rows, int columns, bool sparse)
    {
        float[] weights = Values.Weights(seed, rows * columns);
        for (int i = 0; i < weights.Length; i++)
        {
            int block = (i % columns / 32 * 7) + (i / columns / 32);
            weights[i] = sparse && (block * 7) % 10 < 7 ? 0 : weights[i];
        }

        return weights;
    }
}
