using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Runtime;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Calibration data through the whole toolchain: what they are good for, and everything that may be wrong with them.</summary>
public sealed class CalibrationTests
{
    private const int Tokens = 16;

    [Fact]
    public void Compile_calibrated_isNearerToTheModelThanRounding_andRecordsItsData()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        CompileResult calibrated = Compile(folder, model, "calibrated.mpack", tokens, "quantize.format=int3", "quantize.ends=same");
        Compile(folder, model, "rounded.mpack", tokens, "quantize.format=int3", "quantize.ends=same", "quantize.algorithm=rtn", "quantize.scales=encoder", "quantize.refine=0");

        double Error(string artifact) => Difference(Run(folder[artifact]), Run(model));
        Assert.InRange(Error("calibrated.mpack"), 0, 0.8 * Error("rounded.mpack"));

        // 'mix' is multiplied with two values; embeddings are looked up: rounded to nearest, the first with a word about it.
        Assert.Contains(calibrated.Warnings, w => w.Contains("'mix'", StringComparison.Ordinal) && w.Contains("not one value", StringComparison.Ordinal));
        Assert.All(calibrated.Tensors.Where(t => t.Name is "up" or "head" or "mix" or "embed"), t => Assert.InRange(t.RelativeError!.Value, 0.01, 2));
        Assert.Equal(NetworkModel.Width * NetworkModel.Hidden * 4, calibrated.Tensors.Single(t => t.Name == "up").InputBytes);
        Provenance provenance = Read(folder["calibrated.mpack"]);
        Assert.Equal(("tokens", "calibration.bin", 64, Tokens), (provenance.Calibration!.Kind, provenance.Calibration.Name, provenance.Calibration.Samples, provenance.Calibration.Window));
        Assert.Equal(32, provenance.Calibration.Xxh128.Length);
        Assert.Null(Read(folder["rounded.mpack"]).Calibration);
    }

    [Theory]
    [InlineData("true")]
    [InlineData("false")]
    public void Compile_onAnyNumberOfThreads_andAgainstItsRecord_givesTheSameBytes(string sequential)
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        Compile(folder, model, "one.mpack", tokens, 1, $"quantize.sequential={sequential}");
        Compile(folder, model, "three.mpack", tokens, 3, $"quantize.sequential={sequential}");

        Assert.Equal(File.ReadAllBytes(folder["one.mpack"]), File.ReadAllBytes(folder["three.mpack"]));
        Assert.True(Verification.Verify(folder["one.mpack"], against: model, rederive: model, calibration: tokens).Ok);
        Assert.Equal(ErrorCodes.CalibrationMissing, Assert.Throws<ModelPackException>(() => Verification.Verify(folder["one.mpack"], rederive: model)).Code);
    }

    [Fact]
    public void Compile_withLittleMemory_spillsAndGivesTheSameBytes()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        Compile(folder, model, "much.mpack", tokens);
        ModelCompiler.Compile(Request(folder, model, "little.mpack", tokens) with { MaxMemoryBytes = 1 << 20 });

        Assert.Equal(File.ReadAllBytes(folder["much.mpack"]), File.ReadAllBytes(folder["little.mpack"]));
    }

    [Fact]
    public void Statistics_areKept_usedAgain_andMadeAnewWhenDamaged()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        string[] sets = ["quantize.sequential=false"];
        Compile(folder, model, "first.mpack", tokens, sets);
        string cached = Assert.Single(Directory.GetFiles(folder["cache"]));
        byte[] statistics = File.ReadAllBytes(cached);
        DateTime written = File.GetLastWriteTimeUtc(cached).AddDays(-1);
        File.SetLastWriteTimeUtc(cached, written);

        Compile(folder, model, "second.mpack", tokens, sets);
        Assert.Equal(written, File.GetLastWriteTimeUtc(cached));

        byte[] damaged = [.. statistics];
        damaged[^5] ^= 1;
        File.WriteAllBytes(cached, damaged);
        Compile(folder, model, "third.mpack", tokens, sets);
        Assert.Equal(statistics, File.ReadAllBytes(cached));
        Assert.Equal(File.ReadAllBytes(folder["first.mpack"]), File.ReadAllBytes(folder["second.mpack"]));
        Assert.Equal(File.ReadAllBytes(folder["first.mpack"]), File.ReadAllBytes(folder["third.mpack"]));
    }

    [Fact]
    public void Calibrate_writesStatistics_thatCompileTakesInPlaceOfData()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        CalibrateResult result = Calibrate(folder, model, tokens);
        Compile(folder, model, "data.mpack", tokens, "quantize.sequential=false");
        Compile(folder, model, "statistics.mpack", folder["statistics.safetensors"], "quantize.sequential=false");

        // Two layers with one input each; 'mix' has two.
        Assert.Equal(["x", "h5"], result.Values.Select(v => v.Name));
        Assert.All(result.Values, v => Assert.Equal(64 * Tokens, v.Vectors));
        Assert.Equal(File.ReadAllBytes(folder["data.mpack"]), File.ReadAllBytes(folder["statistics.mpack"]));
        Assert.Equal("calibration.bin", Read(folder["statistics.mpack"]).Calibration!.Name);
    }

    [Fact]
    public void Compile_withoutCalibrationData_isMP2210_andDataNobodyNeedsAreAWarning()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);

        ModelPackException error = Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(Request(folder, model, "m.mpack", null)));
        Assert.Equal(ErrorCodes.CalibrationMissing, error.Code);
        Assert.Contains("--calibration", error.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(folder["m.mpack"]));
        CompileResult result = ModelCompiler.Compile(Request(folder, model, "m.mpack", tokens) with { Recipe = "int4" });
        Assert.Contains(result.Warnings, w => w.Contains("does not use them", StringComparison.Ordinal));
    }

    [Fact]
    public void Compile_dryRun_needsNoRun()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        CompileResult result = ModelCompiler.Compile(Request(folder, model, "m.mpack", tokens) with { DryRun = true });

        Assert.Contains("int4", result.Tensors.Single(t => t.Name == "up").Encoding, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder["cache"]));
    }

    [Fact]
    public void Compile_emptyOrShortTokenFile_isMP2213()
    {
        using var folder = new TempFolder();
        (string model, _) = Language(folder);
        AssertCode(ErrorCodes.CalibrationData, "0 tokens", () => Compile(folder, model, "m.mpack", folder.Write("empty.bin", "")));
        AssertCode(ErrorCodes.CalibrationData, "do not fill", () => Compile(folder, model, "m.mpack", folder.Write("short.bin", "abcd")));
        AssertCode(ErrorCodes.TokenFileLength, "", () => Compile(folder, model, "m.mpack", folder.Write("odd.bin", "abc")));
        AssertCode(ErrorCodes.FileNotFound, "", () => Compile(folder, model, "m.mpack", folder["absent.bin"]));
    }

    [Fact]
    public void Compile_tokensOutsideTheVocabulary_areMP2213()
    {
        using var folder = new TempFolder();
        (string model, _) = Language(folder);
        string tokens = folder["large.bin"];
        File.WriteAllBytes(tokens, [.. Enumerable.Repeat((byte)0xFF, Tokens * 2)]);

        AssertCode(ErrorCodes.CalibrationData, "sample 0", () => Compile(folder, model, "m.mpack", tokens));
    }

    [Fact]
    public void Compile_npyFolders_calibrateWhatTheyFit_andAreMP2213Otherwise()
    {
        using var folder = new TempFolder();
        string model = folder["dense.onnx"];
        File.WriteAllBytes(model, Dense());
        for (int i = 0; i < 40; i++)
        {
            WriteSample(folder, $"data/{i}", [4, 64], i);
        }

        Compile(folder, model, "m.mpack", folder["data"]);
        Assert.Equal(("npy", "data", 40), (Read(folder["m.mpack"]).Calibration!.Kind, Read(folder["m.mpack"]).Calibration!.Name, Read(folder["m.mpack"]).Calibration!.Samples));

        Directory.CreateDirectory(folder["none"]);
        AssertCode(ErrorCodes.CalibrationData, "no .npy files", () => Compile(folder, model, "m2.mpack", folder["none"]));
        WriteSample(folder, "narrow", [4, 63], 0);
        AssertCode(ErrorCodes.CalibrationData, "[4,63]", () => Compile(folder, model, "m2.mpack", folder["narrow"]));
        NpyFile.Write(folder["wide/input.npy"], DType.F64, new Shape(4, 64), TensorData.FromBytes(new byte[4 * 64 * 8]));
        AssertCode(ErrorCodes.CalibrationData, "f64", () => Compile(folder, model, "m2.mpack", folder["wide"]));
        NpyFile.Write(folder["other/name.npy"], DType.F32, new Shape(4, 64), TensorData.FromBytes(new byte[4 * 64 * 4]));
        AssertCode(ErrorCodes.CalibrationData, "no file for input 'input'", () => Compile(folder, model, "m2.mpack", folder["other"]));
        AssertCode(ErrorCodes.CalibrationData, "language models only", () => Compile(folder, model, "m2.mpack", folder.Write("tokens.bin", new string('a', 64))));
    }

    [Fact]
    public void Compile_activationsThatAreNoNumbers_areMP2211()
    {
        using var folder = new TempFolder();
        string model = folder["dense.onnx"];
        File.WriteAllBytes(model, Dense());
        float[] values = new float[4 * 64];
        values[70] = float.NaN;
        NpyFile.Write(folder["bad/input.npy"], DType.F32, new Shape(4, 64), TensorData.FromBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(values).ToArray()));

        AssertCode(ErrorCodes.CalibrationNotFinite, "channel 6 of vector 1", () => Compile(folder, model, "m.mpack", folder["bad"]));
    }

    [Fact]
    public void Compile_tooFewVectors_roundsToNearestAndSaysSo()
    {
        using var folder = new TempFolder();
        string model = folder["dense.onnx"];
        File.WriteAllBytes(model, Dense());
        WriteSample(folder, "data", [4, 64], 0);

        Assert.Contains(Compile(folder, model, "m.mpack", folder["data"]).Warnings, w => w.Contains("4 vectors, fewer than 128", StringComparison.Ordinal));
    }

    [Fact]
    public void Compile_blocksAcrossTheInput_roundsToNearestAndSaysSo()
    {
        using var folder = new TempFolder();
        string model = folder["dense.onnx"];
        File.WriteAllBytes(model, Dense());
        WriteSample(folder, "data", [512, 64], 0);

        Assert.Contains(Compile(folder, model, "m.mpack", folder["data"], "quantize.axis=last").Warnings, w => w.Contains("its blocks run across that input", StringComparison.Ordinal));
        Assert.DoesNotContain(Compile(folder, model, "m.mpack", folder["data"], "quantize.axis=first").Warnings, w => w.Contains("across", StringComparison.Ordinal));
    }

    [Fact]
    public void Compile_checkpoint_isMP2218()
    {
        using var folder = new TempFolder();
        (_, string tokens) = Language(folder);
        string checkpoint = folder["m.safetensors"];
        ModelPack.Containers.Containers.Get("safetensors").Export(
            ModelPack.Tests.Compiler.Ir.Checkpoint(ModelPack.Tests.Compiler.Ir.Random("layer.weight", 64, 64)), checkpoint, t => t.TryGetRawData(out TensorData data) ? data : TensorData.Empty);

        AssertCode(ErrorCodes.CalibrationNeedsGraph, "no graph", () => Compile(folder, checkpoint, "m.mpack", tokens));
        AssertCode(ErrorCodes.CalibrationNeedsGraph, "no graph", () => Calibrate(folder, checkpoint, tokens));
    }

    [Fact]
    public void Statistics_damagedOrOfAnotherModel_areMP2214AndMP2215()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        Calibrate(folder, model, tokens);
        string statistics = folder["statistics.safetensors"];
        byte[] bytes = File.ReadAllBytes(statistics);
        AssertCode(ErrorCodes.CalibrationData, "statistics already", () => Calibrate(folder, model, statistics));

        string other = folder["other.onnx"];
        File.WriteAllBytes(other, Dense());
        AssertCode(ErrorCodes.StatisticsOfAnotherModel, "another model", () => Compile(folder, other, "m.mpack", statistics));
        foreach (int at in new[] { 20, bytes.Length / 2, bytes.Length - 1 })
        {
            byte[] damaged = [.. bytes];
            damaged[at] ^= 0x10;
            File.WriteAllBytes(statistics, damaged);
            AssertCode(ErrorCodes.StatisticsDamaged, "", () => Compile(folder, model, "m.mpack", statistics));
        }

        File.WriteAllBytes(statistics, bytes[..(bytes.Length / 2)]);
        AssertCode(ErrorCodes.StatisticsDamaged, "", () => Compile(folder, model, "m.mpack", statistics));
    }

    [Fact]
    public void Cancelled_leavesNothingBehind()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        using var source = new CancellationTokenSource();
        var progress = new Cancelling(source);

        Assert.ThrowsAny<OperationCanceledException>(() => ModelCompiler.Compile(Request(folder, model, "m.mpack", tokens), progress, source.Token));
        Assert.False(File.Exists(folder["m.mpack"]));
    }

    private static (string Model, string Tokens) Language(TempFolder folder)
    {
        string model = folder["model.onnx"];
        File.WriteAllBytes(model, NetworkModel.Language());
        var random = new SplitMix(5);
        byte[] tokens = new byte[64 * Tokens * 2];
        for (int i = 0; i < tokens.Length; i += 2)
        {
            tokens[i] = (byte)random.Below(NetworkModel.Vocabulary);
        }

        string file = folder["calibration.bin"];
        File.WriteAllBytes(file, tokens);
        return (model, file);
    }

    /// <summary>input [batch, 64] -> MatMul -> Tanh -> MatMul -> output [batch, 32].</summary>
    private static byte[] Dense() => new OnnxBuilder()
        .Input("input", OnnxBuilder.Float, "batch", 64)
        .Output("output", OnnxBuilder.Float, "batch", 32)
        .Initializer("first", SmallModels.Values(64 * 96, 1), 64, 96)
        .Initializer("second", SmallModels.Values(96 * 32, 2), 96, 32)
        .Node("MatMul", ["input", "first"], ["a"])
        .Node("Tanh", ["a"], ["b"])
        .Node("MatMul", ["b", "second"], ["output"])
        .Build();

    private static void WriteSample(TempFolder folder, string name, long[] shape, int seed)
    {
        float[] values = Values.Weights((ulong)seed, (int)new Shape(shape).ElementCount);
        NpyFile.Write(folder[name + "/input.npy"], DType.F32, new Shape(shape), TensorData.FromBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(values).ToArray()));
    }

    private static CompileRequest Request(TempFolder folder, string model, string output, string? calibration) => new()
    {
        Input = model,
        Output = folder[output],
        Recipe = "int4-calibrated",
        Calibration = calibration,
        CalibrationOptions = new CalibrationOptions { Window = Tokens, CacheFolder = folder["cache"] },
    };

    private static CompileResult Compile(TempFolder folder, string model, string output, string calibration, params string[] sets) => Compile(folder, model, output, calibration, 0, sets);

    private static CompileResult Compile(TempFolder folder, string model, string output, string calibration, int threads, params string[] sets) =>
        ModelCompiler.Compile(Request(folder, model, output, calibration) with { Sets = sets, Threads = threads });

    private static CalibrateResult Calibrate(TempFolder folder, string model, string data) => Calibrating.Run(
        new CalibrateRequest { Input = model, Data = data, Output = folder["statistics.safetensors"], Options = new CalibrationOptions { Window = Tokens } });

    private static Provenance Read(string artifact)
    {
        using var reader = ModelPack.Pack.PackReader.Open(artifact);
        return Artifact.ReadProvenance(reader);
    }

    private static float[] Run(string path)
    {
        using ModelSession session = ModelSession.Open(path);
        long[] ids = [.. Enumerable.Range(0, 8 * Tokens).Select(i => (long)(i * 7 % NetworkModel.Vocabulary))];
        return session.Run(NamedTensor.Of("ids", ids, 8, Tokens))[0].Values<float>().ToArray();
    }

    private static double Difference(float[] actual, float[] expected) => actual.Zip(expected, (a, b) => ((double)a - b) * ((double)a - b)).Sum();

    private static void AssertCode(ErrorCode code, string text, Action action)
    {
        ModelPackException error = Assert.Throws<ModelPackException>(action);
        Assert.Equal(code, error.Code);
        Assert.Contains(text, error.Line, StringComparison.Ordinal);
    }

    private sealed class Cancelling(CancellationTokenSource source) : IProgress<ToolProgress>
    {
        public void Report(ToolProgress value)
        {
            if (value.Activity == "calibrate")
            {
                source.Cancel();
            }
        }
    }
}
