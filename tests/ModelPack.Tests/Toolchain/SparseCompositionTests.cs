using System.Buffers.Binary;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Sparse weights before passes that know plain ones: they stay sparse, or a warning says how many do not; outputs are right in either case.</summary>
public sealed class SparseCompositionTests : IDisposable
{
    private const int Vocabulary = 64;
    private const int Width = 96;
    private const int Neurons = 192;
    private const int Window = 16;

    private const string Sparsify = """{ "pass": "sparsify", "structure": "32x32", "sparsity_percent": 60, "protect": [], "force": true, "ends": "keep" }""";

    private static readonly string[] Perceptron = ["down", "gate", "up"];

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <param name="first">detect: zeros of the file are stored as blocks before the pass; sparsify: the pass makes them, and plain weights come behind it; file: zeros of the file, plain weights.</param>
    /// <param name="pass">The pass that follows.</param>
    /// <param name="lost">Weights that are dense in the end.</param>
    /// <param name="tolerance">Of outputs, over the largest.</param>
    [Theory]
    [InlineData("detect", """{ "pass": "rotate" }""", 0, 1e-5)]
    [InlineData("detect", """{ "pass": "smooth", "method": "smoothquant" }""", 0, 1e-5)]
    [InlineData("detect", """{ "pass": "split-outliers", "min_elements": 1 }""", 0, 1e-3)]
    [InlineData("detect", """{ "pass": "decompose", "rank": 16, "ends": "decompose" }""", 0, 1)]
    [InlineData("detect", """{ "pass": "quantize-activations", "min_macs": 0, "min_sqnr_db": 5, "include": ["up", "gate", "down"] }""", 0, 1e-5)]
    [InlineData("sparsify", """{ "pass": "rotate" }""", 2, 1e-4)]
    [InlineData("sparsify", """{ "pass": "smooth", "method": "smoothquant" }""", 0, 1e-4)]
    [InlineData("sparsify", """{ "pass": "split-outliers", "min_elements": 1 }""", 0, 1e-3)]
    [InlineData("sparsify", """{ "pass": "decompose", "rank": 16, "exclusions": "none" }""", 3, 1)]
    [InlineData("sparsify", """{ "pass": "quantize-activations", "min_macs": 0, "min_sqnr_db": 5, "include": ["up", "gate", "down"] }""", 3, 1)]
    [InlineData("file", """{ "pass": "rotate" }""", 3, 1e-4)]
    [InlineData("file", """{ "pass": "smooth", "method": "smoothquant" }""", 0, 1e-4)]
    [InlineData("file", """{ "pass": "split-outliers", "min_elements": 1 }""", 0, 1e-3)]
    [InlineData("file", """{ "pass": "decompose", "rank": 16, "exclusions": "none" }""", 3, 1)]
    [InlineData("file", """{ "pass": "quantize-activations", "min_macs": 0, "min_sqnr_db": 5, "include": ["up", "gate", "down"] }""", 3, 1)]
    public void Sparse_weights_stay_sparse_or_a_warning_says_so(string first, string pass, int lost, double tolerance)
    {
        string model = _folder.Write("m.onnx", Network(zeros: first != "sparsify"));
        string before = first switch { "detect" => "\"detect-sparsity\"", "sparsify" => Sparsify, _ => "" };
        CompileResult with = Compile(model, "a.mpack", before, pass, "\"detect-sparsity\"");
        CompileResult without = Compile(model, "b.mpack", before, "\"detect-sparsity\"");

        Assert.Equal(Perceptron, Sparse(without.Output));
        Assert.DoesNotContain(without.Warnings, IsLoss);
        string[] warnings = [.. with.Warnings.Where(IsLoss)];
        string[] gone = [.. Perceptron.Except(Sparse(with.Output))];
        string said = $"lost {string.Join(',', gone)}; {string.Join(" | ", with.Warnings.Concat(with.Notes))}";
        Assert.True(gone.Length == lost, said);
        Assert.True(warnings.Length == (lost > 0 ? 1 : 0), said);
        Assert.All(warnings, w => Assert.Contains($"{lost} sparse weight", w, StringComparison.Ordinal));

        float[] expected = Logits(without.Output);
        float[] actual = Logits(with.Output);
        double scale = expected.Max(Math.Abs);
        Assert.All(actual.Zip(expected), p => Assert.InRange(p.First, p.Second - (tolerance * scale), p.Second + (tolerance * scale)));
    }

    private static bool IsLoss(string warning) => warning.Contains("dense behind this pass", StringComparison.Ordinal);

    private static string[] Sparse(string artifact) => [.. Inspection.Inspect(artifact).Tensors.Where(t => t.Encoding.Contains("blocksparse", StringComparison.Ordinal)).Select(t => t.Name).Order(StringComparer.Ordinal)];

    private static float[] Logits(string artifact)
    {
        using ModelSession session = ModelSession.Open(artifact);
        return session.Run([NamedTensor.Of("ids", Enumerable.Range(0, Window).Select(i => (long)(i * 29 % Vocabulary)).ToArray(), 1, Window)])[0].Values<float>().ToArray();
    }

    private CompileResult Compile(string model, string output, params string[] passes)
    {
        byte[] tokens = new byte[2 * Window * 32];
        var random = new SplitMix(4);
        for (int i = 0; i < tokens.Length; i += 2)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(tokens.AsSpan(i), (ushort)random.Below(Vocabulary));
        }

        string all = string.Join(", ", passes.Where(p => p.Length > 0).Prepend("\"fold-constants\"").Prepend("\"canonicalize\""));
        return ModelCompiler.Compile(new CompileRequest
        {
            Input = model,
            Output = _folder[output],
            Recipe = _folder.Write(output + ".json", $$"""{ "name": "r", "passes": [{{all}}] }"""),
            Calibration = _folder.Write("c.tokens.bin", tokens),
            CalibrationOptions = new CalibrationOptions { Window = Window, NoCache = true },
        });
    }

    /// <summary>ids -> embedding -> norm -> relu(gate) * up -> down -> + -> norm -> head.</summary>
    private static byte[] Network(bool zeros)
    {
        OnnxBuilder builder = new OnnxBuilder(17).Input("ids", OnnxBuilder.Int64, "batch", "seq").Output("logits", OnnxBuilder.Float, "batch", "seq", Vocabulary)
            .Initializer("embedding", [.. Values.Weights(1, Vocabulary * Width).Select(v => 40 * v)], Vocabulary, Width)
            .Initializer("up", Blocks(2, Width, Neurons, zeros), Width, Neurons)
            .Initializer("gate", Blocks(3, Width, Neurons, zeros), Width, Neurons)
            .Initializer("down", Blocks(4, Neurons, Width, zeros), Neurons, Width)
            .Initializer("head", [.. Values.Weights(5, Width * Vocabulary).Select(v => 10 * v)], Width, Vocabulary)
            .Initializer("epsilon", [1e-5f])
            .Node("Gather", ["embedding", "ids"], ["x"]);
        Norm(builder, "x", "n", 6);
        builder.Node("MatMul", ["n", "gate"], ["g"]).Node("MatMul", ["n", "up"], ["u"]).Node("Relu", ["g"], ["a"]).Node("Mul", ["a", "u"], ["h"]).Node("MatMul", ["h", "down"], ["d"]).Node("Add", ["x", "d"], ["y"]);
        Norm(builder, "y", "m", 7);
        return builder.Node("MatMul", ["m", "head"], ["logits"]).Build();
    }

    /// <summary>One channel is ten times as large as the others.</summary>
    private static void Norm(OnnxBuilder builder, string value, string output, ulong seed)
    {
        float[] gain = [.. Values.Weights(seed, Width).Select(v => 1 + v)];
        gain[5] *= 10;
        builder.Initializer($"{output}_gain", gain, Width)
            .Node("Mul", [value, value], [$"{output}_squares"]).Node("ReduceMean", [$"{output}_squares"], [$"{output}_mean"], attributes: ("axes", (long[])[-1]))
            .Node("Add", [$"{output}_mean", "epsilon"], [$"{output}_shifted"]).Node("Sqrt", [$"{output}_shifted"], [$"{output}_rms"])
            .Node("Div", [value, $"{output}_rms"], [$"{output}_unit"]).Node("Mul", [$"{output}_unit", $"{output}_gain"], [output]);
    }

    /// <summary>With six of ten of the 32 x 32 blocks zero, or none.</summary>
    private static float[] Blocks(ulong seed, int rows, int columns, bool zeros)
    {
        float[] weights = [.. Values.Weights(seed, rows * columns).Select(v => 5 * v)];
        for (int i = 0; i < weights.Length; i++)
        {
            int block = (i % columns / 32 * 7) + (i / columns / 32);
            weights[i] = zeros && (block * 7) % 10 < 6 ? 0 : weights[i];
        }

        return weights;
    }
}
