using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Runtime;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Outlier channels in 16 bits, through the whole toolchain.</summary>
public sealed class SplitOutliersTests : IDisposable
{
    private const int Vocabulary = 64;
    private const int Width = 128;
    private const int Tokens = 16;
    private static readonly string[] Split = ["canonicalize", """{ "pass": "split-outliers" }"""];
    private readonly TempFolder _folder = new();
    private readonly string _tokens;

    public SplitOutliersTests()
    {
        byte[] tokens = new byte[2 * 64 * Tokens];
        for (int i = 0; i < tokens.Length; i += 2)
        {
            tokens[i] = (byte)((i * 31 / 2 * (i % 13)) % Vocabulary);
        }

        _tokens = _folder.Write("tokens.bin", tokens);
    }

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("true")]
    [InlineData("false")]
    public void Compile_splitAlone_keepsTheOutputs(string mask)
    {
        string model = Model(outliers: true);
        CompileResult result = Compile(model, "m.mpack", ["canonicalize", $$"""{ "pass": "split-outliers", "format": "same", "mask": {{mask}} }"""]);

        Assert.Equal([[2L, 96L], [2L, 96L]], result.Tensors.Where(t => t.Name.EndsWith("_outliers", StringComparison.Ordinal)).Select(t => t.Shape.ToArray()));
        Assert.InRange(Error(model, "m.mpack"), 0, 1e-5);
        VerifyResult verified = Verification.Verify(_folder["m.mpack"], rederive: model, calibration: _tokens);
        Assert.True(verified.Ok, string.Join("; ", verified.Errors));
    }

    /// <summary>What it is for: a scale that outliers force upon their neighbours costs accuracy; once in the weights, once in activations that the kernel rounds.</summary>
    [Theory]
    [InlineData("int4", "exact", 3)]
    [InlineData("int8", "fast", 5)]
    public void Compile_splitThenQuantised_isNearerThanQuantisedAlone(string format, string accuracy, double times)
    {
        string model = Model(outliers: true);
        string quantize = $$"""{ "pass": "quantize", "format": "{{format}}", "block": 32, "ends": "keep", "min_elements": 4096 }""";
        Compile(model, "plain.mpack", ["canonicalize", quantize], accuracy);
        CompileResult split = Compile(model, "split.mpack", [.. Split, quantize], accuracy);

        Assert.Contains(split.Tensors, t => t is { Name: "up_outliers", Encoding: "f16" });
        Assert.Contains(split.Tensors, t => t.Name == "up" && t.Encoding.Contains(format, StringComparison.Ordinal));
        Assert.InRange(Error(model, "split.mpack") * times, 0, Error(model, "plain.mpack"));
        string stock = _folder["stock.onnx"];
        Exporting.Export(_folder["split.mpack"], "onnx", stock);
        Assert.InRange(Error(stock, "split.mpack"), 0, 1e-5);
    }

    [Fact]
    public void Compile_gptqAfterwards_andThreads_giveTheSameBytes()
    {
        string model = Model(outliers: true);
        string[] passes = [.. Split, """{ "pass": "quantize", "format": "int4", "block": 32, "algorithm": "gptq", "ends": "keep", "min_elements": 4096, "min_vectors": 1 }"""];
        CompileResult result = Compile(model, "one.mpack", passes, threads: 1);
        Compile(model, "three.mpack", passes, threads: 3);

        Assert.Empty(result.Warnings);
        Assert.Equal(File.ReadAllBytes(_folder["one.mpack"]), File.ReadAllBytes(_folder["three.mpack"]));
    }

    [Fact]
    public void Compile_evenChannels_changesNothing()
    {
        string model = Model(outliers: false);
        CompileResult result = Compile(model, "m.mpack", Split);
        Assert.Equal(["embed", "gate", "head", "up"], result.Tensors.Select(t => t.Name).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Compile_withoutData_isMP2210()
    {
        string model = Model(outliers: true);
        string recipe = Recipe(Split);
        ModelPackException error = Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(new CompileRequest { Input = model, Output = _folder["m.mpack"], Recipe = recipe }));
        Assert.Equal(ErrorCodes.CalibrationMissing, error.Code);
        Assert.False(File.Exists(_folder["m.mpack"]));
    }

    private CompileResult Compile(string model, string output, string[] passes, string accuracy = "exact", int threads = 0) => ModelCompiler.Compile(new CompileRequest
    {
        Input = model,
        Output = _folder[output],
        Recipe = Recipe(passes),
        Accuracy = accuracy,
        Calibration = _tokens,
        CalibrationOptions = new CalibrationOptions { Window = Tokens, NoCache = true },
        Threads = threads,
    });

    private string Recipe(string[] passes) =>
        _folder.Write("r.json", $$"""{ "name": "split", "passes": [{{string.Join(", ", passes.Select(p => p.StartsWith('{') ? p : $"\"{p}\""))}}] }""");

    /// <summary>||y - y'|| / ||y|| of what the models say to all words.</summary>
    private double Error(string expected, string artifact)
    {
        float[] a = Run(expected);
        float[] b = Run(_folder[artifact]);
        return Math.Sqrt(a.Zip(b, (x, y) => ((double)x - y) * (x - y)).Sum() / a.Sum(x => (double)x * x));
    }

    private static float[] Run(string path)
    {
        long[] ids = [.. Enumerable.Range(0, Vocabulary).Select(i => (long)i)];
        using ModelSession session = ModelSession.Open(path);
        return session.Run(NamedTensor.Of("ids", ids, 1, ids.Length))[0].Values<float>().ToArray();
    }

    /// <summary>ids -> Gather -> up and gate on the same values, their product -> head. With outliers, channels 5 and 70 are 60 times as large as the others.</summary>
    private string Model(bool outliers)
    {
        float[] embed = SmallModels.Values(Vocabulary * Width, 1);
        for (int i = 0; outliers && i < Vocabulary; i++)
        {
            embed[(i * Width) + 5] *= 60;
            embed[(i * Width) + 70] *= 60;
        }

        float[] Weight(ulong seed, int rows, int columns)
        {
            float[] values = SmallModels.Values(rows * columns, seed);
            for (int i = 0; i < values.Length; i++)
            {
                int row = i / columns;
                values[i] *= outliers && row is 5 or 70 ? 0.5f : 0.05f;
            }

            return values;
        }

        return _folder.Write("m.onnx", new OnnxBuilder()
            .Input("ids", OnnxBuilder.Int64, "batch", "seq")
            .Output("logits", OnnxBuilder.Float, "batch", "seq", Vocabulary)
            .Initializer("embed", embed, Vocabulary, Width)
            .Initializer("up", Weight(2, Width, 96), Width, 96)
            .Initializer("gate", Weight(3, Width, 96), Width, 96)
            .Initializer("head", SmallModels.Values(96 * Vocabulary, 4), 96, Vocabulary)
            .Node("Gather", ["embed", "ids"], ["x"])
            .Node("MatMul", ["x", "up"], ["u"])
            .Node("MatMul", ["x", "gate"], ["g"])
            .Node("Mul", ["u", "g"], ["p"])
            .Node("MatMul", ["p", "head"], ["logits"])
            .Build());
    }
}
