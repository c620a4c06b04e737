using ModelPack.Compiler;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Passes;
using ModelPack.Tests.Runtime;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Pass smooth through the whole toolchain: outputs without quantisation stay, with it they come nearer.</summary>
public sealed class SmoothCompileTests
{
    private const int Vocabulary = 48;
    private const int Width = 64;
    private const int Hidden = 96;
    private const int Tokens = 16;

    private const string Float = """{"name":"float","passes":["canonicalize","fold-constants","fuse-batchnorm",{"pass":"smooth","method":"METHOD"}]}""";

    private const string Quantized = """
        {"name":"quantized","passes":["canonicalize","fold-constants",{"pass":"smooth","format":"int3","block":32},
          {"pass":"quantize","format":"int3","block":32,"scale":"f32","algorithm":"gptq","sequential":false,"ends":"keep","min_elements":1}]}
        """;

    [Fact]
    public void SampleModel_smoothed_computesTheSame_withAllItsInputsScaled()
    {
        using var folder = new TempFolder();
        string sample = RepositoryTree.PathTo("samples", "models", "tinyllama");
        string model = Path.Combine(sample, "model.onnx");
        var request = new CompileRequest
        {
            Input = model,
            Output = folder["m.mpack"],
            Recipe = folder.Write("smooth.json", Float.Replace("METHOD", "awq", StringComparison.Ordinal)),
            Calibration = Path.Combine(sample, "calib.tokens.bin"),
            CalibrationOptions = new CalibrationOptions { Samples = 2, Window = 64, CacheFolder = folder["cache"] },
        };
        ModelCompiler.Compile(request);

        // Inputs of q, k, v; of o, through grouped heads; of gate, up; of down, through the gate: in each of 8 layers.
        using (ImportedModel imported = ModelPack.Containers.Containers.For(model).Import(model))
        using (var calibrator = (IDisposable)Calibrator.Open(request.Calibration, request.CalibrationOptions, Pipelines.Limits(2, 1L << 30, null, default)))
        {
            PassContext context = Pipelines.CreateContext(request, default, (ModelPack.Compiler.Calibration.ICalibrator)calibrator);
            new PassManager([Pipeline.Make("canonicalize"), Pipeline.Make("fold-constants"), Pipeline.Make("smooth", """{ "method": "smoothquant" }""")]).Run(imported.Model, context);
            Assert.Equal(32, context.Measurements.Single(m => m.Quantity == "values_scaled").Value);
        }

        long[] ids = [.. Enumerable.Range(0, 48).Select(i => (long)(i * 331 % 4096))];
        float[] expected = Run(model, "input_ids", ids);
        float[] actual = Run(folder["m.mpack"], "input_ids", ids);
        Assert.InRange(Enumerable.Range(0, expected.Length).Max(i => Math.Abs(expected[i] - actual[i])), 1e-7, 1e-3);
    }

    [Theory]
    [InlineData("awq")]
    [InlineData("smoothquant")]
    [InlineData("equalize")]
    public void Network_smoothed_computesTheSame_onAnyNumberOfThreads(string method)
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        string recipe = folder.Write("float.json", Float.Replace("METHOD", method, StringComparison.Ordinal));
        CompileResult result = ModelCompiler.Compile(Request(folder, model, "m.mpack", recipe, method == "equalize" ? null : tokens) with { Threads = 1 });
        ModelCompiler.Compile(Request(folder, model, "m3.mpack", recipe, method == "equalize" ? null : tokens) with { Threads = 3 });

        Assert.Empty(result.Warnings);
        Assert.Equal(File.ReadAllBytes(folder["m.mpack"]), File.ReadAllBytes(folder["m3.mpack"]));
        long[] ids = [.. Enumerable.Range(0, 32).Select(i => (long)(i * 7 % Vocabulary))];
        float[] expected = Run(model, "ids", ids);
        float[] actual = Run(folder["m.mpack"], "ids", ids);
        float largest = expected.Max(Math.Abs);
        Assert.InRange(Enumerable.Range(0, expected.Length).Max(i => Math.Abs(expected[i] - actual[i])), float.Epsilon, 1e-5 * largest);
    }

    [Fact]
    public void Image_equalized_computesTheSame()
    {
        using var folder = new TempFolder();
        string model = folder["image.onnx"];
        File.WriteAllBytes(model, NetworkModel.Image());
        ModelCompiler.Compile(Request(folder, model, "m.mpack", folder.Write("float.json", Float.Replace("METHOD", "equalize", StringComparison.Ordinal)), null));

        float[] image = Values.Weights(3, 3 * 16 * 16);
        float[] Scores(string path)
        {
            using ModelSession session = ModelSession.Open(path);
            return session.Run(NamedTensor.Of("image", image, 1, 3, 16, 16))[0].Values<float>().ToArray();
        }

        float[] expected = Scores(model);
        float[] actual = Scores(folder["m.mpack"]);
        Assert.InRange(Enumerable.Range(0, expected.Length).Max(i => Math.Abs(expected[i] - actual[i])), float.Epsilon, 1e-5 * expected.Max(Math.Abs));
    }

    [Fact]
    public void Statistics_inPlaceOfData_giveTheSameScales_andTheirMomentsGoWithThem()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        string recipe = folder.Write("quantized.json", Quantized);
        Calibrating.Run(new CalibrateRequest { Input = model, Data = tokens, Output = folder["s.safetensors"], Recipe = recipe, Options = new CalibrationOptions { Window = Tokens } });
        ModelCompiler.Compile(Request(folder, model, "data.mpack", recipe, tokens));
        ModelCompiler.Compile(Request(folder, model, "statistics.mpack", recipe, folder["s.safetensors"]));
        ModelCompiler.Compile(Request(folder, model, "nearest.mpack", recipe, folder["s.safetensors"]) with { Sets = ["quantize.algorithm=rtn", "smooth.exclude=[\"*\"]"] });

        long[] ids = [.. Enumerable.Range(0, 64).Select(i => (long)(i * 5 % Vocabulary))];
        float[] expected = Run(model, "ids", ids);
        double Error(string artifact) => Run(folder[artifact], "ids", ids).Zip(expected, (a, b) => ((double)a - b) * ((double)a - b)).Sum();

        // Divided moments and measured ones differ in their last bits, so that a weight between two codes may take either.
        Assert.Equal(1, Error("statistics.mpack") / Error("data.mpack"), 0.05);
        Assert.True(Error("data.mpack") < 0.9 * Error("nearest.mpack"));
    }

    [Fact]
    public void Statistics_ofAnotherModel_areMP2215_andOfFewerInputsToo()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        string other = folder["other.onnx"];
        File.WriteAllBytes(other, NetworkModel.Language());
        Calibrating.Run(new CalibrateRequest { Input = other, Data = tokens, Output = folder["s.safetensors"], Options = new CalibrationOptions { Window = Tokens } });

        ModelPackException error = Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(Request(folder, model, "m.mpack", folder.Write("q.json", Quantized), folder["s.safetensors"])));
        Assert.Equal(ErrorCodes.StatisticsOfAnotherModel, error.Code);
        Assert.False(File.Exists(folder["m.mpack"]));
    }

    /// <summary>ids -> Gather (channel 3 always 0, some channels large) -> Mul gain -> up, gate -> Relu(gate) * up -> down -> Tanh -> head -> logits.</summary>
    private static (string Model, string Tokens) Language(TempFolder folder)
    {
        float[] embed = SmallModels.Values(Vocabulary * Width, 1).ToArray();
        for (int i = 0; i < embed.Length; i++)
        {
            int channel = i % Width;
            embed[i] *= channel == 3 ? 0 : channel % 13 == 5 ? 20 : 1;
        }

        string model = folder["model.onnx"];
        File.WriteAllBytes(model, new OnnxBuilder()
            .Input("ids", OnnxBuilder.Int64, "batch", "seq")
            .Output("logits", OnnxBuilder.Float, "batch", "seq", Vocabulary)
            .Initializer("embed", embed, Vocabulary, Width)
            .Initializer("gain", SmallModels.Values(Width, 2), Width)
            .Initializer("up", SmallModels.Values(Width * Hidden, 3), Width, Hidden)
            .Initializer("gate", SmallModels.Values(Width * Hidden, 4), Width, Hidden)
            .Initializer("down", SmallModels.Values(Hidden * Width, 5), Hidden, Width)
            .Initializer("head", SmallModels.Values(Width * Vocabulary, 6), Width, Vocabulary)
            .Node("Gather", ["embed", "ids"], ["x"])
            .Node("Mul", ["x", "gain"], ["n"])
            .Node("MatMul", ["n", "up"], ["u"])
            .Node("MatMul", ["n", "gate"], ["g"])
            .Node("Relu", ["g"], ["r"])
            .Node("Mul", ["r", "u"], ["m"])
            .Node("MatMul", ["m", "down"], ["d"])
            .Node("Tanh", ["d"], ["t"])
            .Node("MatMul", ["t", "head"], ["logits"])
            .Build());
        var random = new SplitMix(7);
        byte[] tokens = new byte[64 * Tokens * 2];
        for (int i = 0; i < tokens.Length; i += 2)
        {
            tokens[i] = (byte)random.Below(Vocabulary);
        }

        File.WriteAllBytes(folder["tokens.bin"], tokens);
        return (model, folder["tokens.bin"]);
    }

    private static CompileRequest Request(TempFolder folder, string model, string output, string recipe, string? calibration) => new()
    {
        Input = model,
        Output = folder[output],
        Recipe = recipe,
        Calibration = calibration,
        CalibrationOptions = new CalibrationOptions { Window = Tokens, CacheFolder = folder["cache"] },
    };

    private static float[] Run(string path, string input, long[] ids)
    {
        using ModelSession session = ModelSession.Open(path);
        return session.Run(NamedTensor.Of(input, ids, 1, ids.Length))[0].Values<float>().ToArray();
    }
}
