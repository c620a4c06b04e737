using System.Buffers.Binary;
using System.Globalization;
using ModelPack.Pack;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Pass activation-sparsity: thresholds that reach the wanted share on data and on other data, neurons in another order with the same outputs, and the kernel that leaves neurons out.</summary>
public sealed class ActivationSparsityCompileTests : IDisposable
{
    private const int Vocabulary = 64;
    private const int Width = 32;
    private const int Neurons = 256;

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(50)]
    [InlineData(80)]
    public void Thresholds_reach_the_share_on_other_data(int percent)
    {
        CompileResult result = Compile("a.mpack", $"target_percent={percent.ToString(CultureInfo.InvariantCulture)}");

        // silu(e g) for tokens that were not seen, by definition.
        float[] embedding = Embedding();
        float[] gate = Gate();
        var random = new SplitMix(77);
        float threshold = Threshold(result.Output);
        int zeros = 0;
        const int samples = 1000;
        for (int i = 0; i < samples; i++)
        {
            int token = (int)random.Below(Vocabulary);
            for (int j = 0; j < Neurons; j++)
            {
                double g = Enumerable.Range(0, Width).Sum(k => (double)embedding[(token * Width) + k] * gate[(k * Neurons) + j]);
                zeros += Math.Abs(g / (1 + Math.Exp(-g))) <= threshold ? 1 : 0;
            }
        }

        double share = 100.0 * zeros / (samples * Neurons);
        Assert.True(Math.Abs(share - percent) <= 2, $"{share:0.0} %; {string.Join("; ", result.Notes)}");
    }

    [Fact]
    public void Evaluation_tells_the_share_on_its_tokens()
    {
        CompileResult result = Compile("a.mpack", "target_percent=50");
        byte[] tokens = new byte[2 * 16 * 40];
        var random = new SplitMix(99);
        for (int i = 0; i < tokens.Length; i += 2)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(tokens.AsSpan(i), (ushort)random.Below(Vocabulary));
        }

        string file = _folder.Write("e.tokens.bin", tokens);
        EvalResult eval = Evaluation.Perplexity(result.Output, file, window: 16);

        // By definition, token by token.
        (float[] embedding, float[] gate, float threshold) = (Embedding(), Gate(), Threshold(result.Output));
        int[] zeros = [.. Enumerable.Range(0, Vocabulary).Select(token => Enumerable.Range(0, Neurons).Count(j =>
        {
            double g = Enumerable.Range(0, Width).Sum(k => (double)embedding[(token * Width) + k] * gate[(k * Neurons) + j]);
            return Math.Abs(g / (1 + Math.Exp(-g))) <= threshold;
        }))];
        double expected = Enumerable.Range(0, tokens.Length / 2).Average(i => zeros[BinaryPrimitives.ReadUInt16LittleEndian(tokens.AsSpan(2 * i))] / (double)Neurons);
        Assert.NotNull(eval.ContextualSparsity);
        Assert.Equal(expected, eval.ContextualSparsity.Mean, 1e-4);
        Assert.Equal((1, eval.ContextualSparsity.Mean, eval.ContextualSparsity.Mean), (eval.ContextualSparsity.Perceptrons, eval.ContextualSparsity.Least, eval.ContextualSparsity.Most));

        // Watching changes no prediction; what has no such perceptrons says nothing of them.
        using ModelSession session = ModelSession.Open(result.Output);
        using TokenFile opened = TokenFile.Open(file);
        Assert.Equal(ModelPack.Runtime.Evaluation.PerplexityMeter.Measure(session, opened, 16).Perplexity, eval.Perplexity);
        Assert.Null(Evaluation.Perplexity(_folder["m.onnx"], file, window: 16).ContextualSparsity);
    }

    /// <summary>The kernel that leaves neurons out has no value in the graph that could be counted: its activations are computed beside it.</summary>
    [Theory]
    [InlineData("silu")]
    [InlineData("relu")]
    [InlineData("gelu")]
    [InlineData("gelu_tanh")]
    public void Perceptrons_of_the_kernel_tell_the_same_share(string activation)
    {
        const int width = 512;
        const int neurons = 4160;
        const int words = 16;
        OnnxBuilder builder = new OnnxBuilder(20).Input("ids", OnnxBuilder.Int64, "batch", "seq").Output("logits", OnnxBuilder.Float, "batch", "seq", words)
            .Initializer("e", [.. Values.Weights(6, words * width).Select(v => 40 * v)], words, width)
            .Initializer("g", Values.Weights(1, neurons * width), width, neurons).Initializer("u", Values.Weights(2, neurons * width), neurons, width).Initializer("d", Values.Weights(3, neurons * width), neurons, width)
            .Node("Transpose", ["u"], ["turned"], "", "", ("perm", new long[] { 1, 0 }))
            .Initializer("o", Values.Weights(4, width * words), width, words)
            .Node("Gather", ["e", "ids"], ["x"]).Node("MatMul", ["x", "g"], ["gate"]).Node("MatMul", ["x", "turned"], ["up"]);
        _ = activation switch
        {
            "silu" => builder.Node("Sigmoid", ["gate"], ["s"]).Node("Mul", ["s", "gate"], ["a"]),
            "relu" => builder.Node("Relu", ["gate"], ["a"]),
            "gelu" => builder.Node("Gelu", ["gate"], ["a"]),
            _ => builder.Node("Gelu", ["gate"], ["a"], "", "", ("approximate", "tanh")),
        };
        string model = _folder.Write("k.onnx", builder.Node("Shrink", ["a"], ["kept"], "", "", ("lambd", 0.1f), ("bias", 0f)).Node("Mul", ["kept", "up"], ["h"]).Node("MatMul", ["h", "d"], ["y"]).Node("MatMul", ["y", "o"], ["logits"]).Build());
        byte[] tokens = new byte[2 * 8 * 4];
        for (int i = 0; i < tokens.Length; i += 2)
        {
            tokens[i] = (byte)(i / 2 * 7 % words);
        }

        string file = _folder.Write("k.tokens.bin", tokens);
        string packed = _folder["k.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = packed, Recipe = "lossless", Accuracy = "exact", Level = ModelPack.Codecs.CodecLevel.Fast });
        Assert.Equal(2, Inspection.Explain(packed).Nodes.Count(n => n.Kernel.StartsWith("modelpack:ContextualMlp", StringComparison.Ordinal)));
        double share = Evaluation.Perplexity(packed, file, window: 8).ContextualSparsity!.Mean;

        // By definition; every word occurs twice.
        float[] embedding = [.. Values.Weights(6, words * width).Select(v => 40 * v)];
        float[] gate = Values.Weights(1, neurons * width);
        long zeros = 0;
        for (int word = 0; word < words; word++)
        {
            double[] g = new double[neurons];
            for (int i = 0; i < gate.Length; i++)
            {
                g[i % neurons] += (double)embedding[(word * width) + (i / neurons)] * gate[i];
            }

            zeros += g.Count(v => Math.Abs(activation switch
            {
                "silu" => v / (1 + Math.Exp(-v)),
                "relu" => Math.Max(0, v),
                "gelu" => 0.5 * v * (1 + ErrorFunction.Of(v / Math.Sqrt(2))),
                _ => 0.5 * v * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (v + (0.044715 * v * v * v)))),
            }) <= 0.1f);
        }

        Assert.InRange(share, 0.05, 0.95);
        Assert.Equal((double)zeros / (words * neurons), share, 2e-4);
    }

    [Fact]
    public void Order_of_neurons_changes_no_output_but_for_rounding_and_repeats_itself()
    {
        CompileResult ordered = Compile("a.mpack", "order=true");
        CompileResult plain = Compile("b.mpack", "order=false");
        CompileResult again = Compile("c.mpack", "order=true");
        Assert.Equal(File.ReadAllBytes(ordered.Output), File.ReadAllBytes(again.Output));

        float[] a = Logits(ordered.Output);
        float[] b = Logits(plain.Output);
        double scale = b.Max(Math.Abs);
        Assert.All(a.Zip(b), p => Assert.InRange(p.First, p.Second - (1e-5 * scale), p.Second + (1e-5 * scale)));
        Assert.NotEqual(Inspect(ordered.Output), Inspect(plain.Output));
    }

    [Fact]
    public void Gate_leaves_activations_as_they_are()
    {
        CompileResult gated = Compile("a.mpack", "target_percent=95", "max_loss_permille=1");
        Assert.Contains(gated.Warnings, w => w.Contains("more than 'max_loss_permille' allows", StringComparison.Ordinal));
        Assert.Equal(0, Threshold(gated.Output));
    }

    [Fact]
    public void Without_data_it_is_an_error()
    {
        ModelPackException error = Assert.Throws<ModelPackException>(() => Compile("a.mpack", calibrate: false));
        Assert.Equal(ErrorCodes.CalibrationMissing, error.Code);
    }

    [Fact]
    public void Few_vectors_and_excluded_weights_are_left()
    {
        Assert.Contains(Compile("a.mpack", "min_vectors=100000").Warnings, w => w.Contains("vectors", StringComparison.Ordinal));
        Assert.Contains(Compile("b.mpack", "exclude=d").Warnings, w => w.Contains("no gated perceptron", StringComparison.Ordinal));
    }

    /// <summary>Large enough for the kernel: the same outputs as with Shrink in ONNX Runtime. One weight in f32, one in bf16.</summary>
    [Theory]
    [InlineData(512, 4160, "exact", true)]
    [InlineData(512, 4160, "identical", false)]
    [InlineData(64, 512, "exact", false)]
    public void Kernel_is_taken_where_it_gains(int width, int neurons, string accuracy, bool taken)
    {
        float[] up = Values.Weights(2, neurons * width);
        byte[] narrow = new byte[2 * up.Length];
        ModelPack.Numbers.NarrowFloats.Round(up, DType.BF16, narrow);
        byte[] onnx = new OnnxBuilder(17).Input("x", OnnxBuilder.Float, "rows", width).Output("y", OnnxBuilder.Float, "rows", width)
            .Initializer("g", Values.Weights(1, neurons * width), width, neurons).Initializer("u", OnnxBuilder.BFloat16, narrow, neurons, width).Initializer("d", Values.Weights(3, neurons * width), neurons, width)
            .Node("Cast", ["u"], ["wide"], "", "", ("to", 1L)).Node("Transpose", ["wide"], ["turned"], "", "", ("perm", new long[] { 1, 0 }))
            .Node("MatMul", ["x", "g"], ["gate"]).Node("MatMul", ["x", "turned"], ["up"]).Node("Sigmoid", ["gate"], ["s"]).Node("Mul", ["s", "gate"], ["a"])
            .Node("Shrink", ["a"], ["kept"], "", "", ("lambd", 0.1f), ("bias", 0f)).Node("Mul", ["kept", "up"], ["h"]).Node("MatMul", ["h", "d"], ["y"]).Build();
        string packed = _folder["m.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = _folder.Write("m.onnx", onnx), Output = packed, Recipe = "lossless", Accuracy = accuracy, Level = ModelPack.Codecs.CodecLevel.Fast });

        PlanNode[] nodes = [.. Inspection.Explain(packed).Nodes.Select(n => new PlanNode(n.Kernel, [.. n.Alternatives.Select(a => a.Kernel)]))];
        Assert.Equal(taken ? 2 : 0, nodes.Count(n => n.Kernel.StartsWith("modelpack:ContextualMlp(silu,0.1)", StringComparison.Ordinal)));
        Assert.Equal(taken, !nodes.Any(n => n.Alternatives.Any(a => a.StartsWith("modelpack:ContextualMlp", StringComparison.Ordinal))));
        foreach (int threads in new[] { 1, 3 })
        {
            using ModelSession model = ModelSession.Open(packed, new ModelSessionOptions { Threads = threads });
            using ModelSession dense = ModelSession.Open(packed, new ModelSessionOptions { Threads = threads, ExpandAll = true });
            foreach (int rows in new[] { 1, 5, 33, 0 })
            {
                NamedTensor x = NamedTensor.Of("x", Values.Weights(5, rows * width).Select(v => 40 * v).ToArray(), rows, width);
                float[] expected = dense.Run([x])[0].Values<float>().ToArray();
                float[] actual = model.Run([x])[0].Values<float>().ToArray();
                double scale = expected.Length == 0 ? 0 : expected.Max(Math.Abs);
                Assert.All(actual.Zip(expected), p => Assert.InRange(p.First, p.Second - (2e-4 * scale), p.Second + (2e-4 * scale)));
            }
        }
    }

    private static float[] Embedding() => [.. Values.Weights(1, Vocabulary * Width).Select(v => 40 * v)];

    private static float[] Gate() => [.. Values.Weights(2, Width * Neurons).Select(v => 2 * v)];

    /// <summary>Of the artifact's Shrink; 0 without.</summary>
    private static float Threshold(string path)
    {
        using PackReader reader = PackReader.Open(path);
        return ModelPack.Toolchain.Artifact.ReadModel(reader, default).Graph.Nodes.FirstOrDefault(n => n.Is("Shrink"))?.Float("lambd", -1) ?? 0;
    }

    private static string Inspect(string path) => string.Join(' ', Inspection.Inspect(path).Tensors.Select(t => $"{t.Name} {t.Encoding} {t.StoredBytes}"));

    private static float[] Logits(string path)
    {
        using ModelSession model = ModelSession.Open(path, new ModelSessionOptions());
        return model.Run([Tokens(5, 64)])[0].Values<float>().ToArray();
    }

    private static NamedTensor Tokens(ulong seed, int count)
    {
        var random = new SplitMix(seed);
        return NamedTensor.Of("ids", Enumerable.Range(0, count).Select(_ => (long)random.Below(Vocabulary)).ToArray(), 1, count);
    }

    private CompileResult Compile(string output, params string[] sets) => Compile(output, true, sets);

    private CompileResult Compile(string output, bool calibrate, params string[] sets)
    {
        byte[] model = new OnnxBuilder(17).Input("ids", OnnxBuilder.Int64, "batch", "seq").Output("logits", OnnxBuilder.Float, "batch", "seq", Vocabulary)
            .Initializer("e", Embedding(), Vocabulary, Width).Initializer("g", Gate(), Width, Neurons)
            .Initializer("u", Values.Weights(3, Width * Neurons).Select(v => 10 * v).ToArray(), Width, Neurons).Initializer("d", Values.Weights(4, Neurons * Width).Select(v => 10 * v).ToArray(), Neurons, Width)
            .Initializer("o", Values.Weights(5, Width * Vocabulary).Select(v => 10 * v).ToArray(), Width, Vocabulary)
            .Node("Gather", ["e", "ids"], ["x"]).Node("MatMul", ["x", "g"], ["gate"]).Node("MatMul", ["x", "u"], ["up"]).Node("Sigmoid", ["gate"], ["s"]).Node("Mul", ["gate", "s"], ["a"])
            .Node("Mul", ["a", "up"], ["h"]).Node("MatMul", ["h", "d"], ["y"]).Node("Add", ["x", "y"], ["z"]).Node("MatMul", ["z", "o"], ["logits"]).Build();
        byte[] tokens = new byte[2 * 8 * 256];
        var random = new SplitMix(4);
        for (int i = 0; i < tokens.Length; i += 2)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(tokens.AsSpan(i), (ushort)random.Below(Vocabulary));
        }

        return ModelCompiler.Compile(new CompileRequest
        {
            Input = _folder.Write("m.onnx", model),
            Output = _folder[output],
            Recipe = _folder.Write("r.json", """{ "name": "r", "passes": ["canonicalize", "fold-constants", "activation-sparsity"] }"""),
            Sets = [.. sets.Select(s => $"activation-sparsity.{s}")],
            Calibration = calibrate ? _folder.Write("c.tokens.bin", tokens) : null,
            CalibrationOptions = new CalibrationOptions { Window = 8, NoCache = true },
        });
    }

    private sealed record PlanNode(string Kernel, string[] Alternatives);
}
