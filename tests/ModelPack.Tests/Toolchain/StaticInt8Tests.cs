using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Runtime;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Recipe w8a8 on a small convolutional network, through the whole toolchain.</summary>
public sealed class StaticInt8Tests
{
    private const int Channels = 24;
    private static readonly string[] Everything = ["quantize-activations.min_macs=0", "quantize-activations.min_sqnr_db=0"];

    [Theory]
    [InlineData(9)]
    [InlineData(11)]
    [InlineData(17)]
    public void Compile_network_runsOnIntegers_nearTheFloatModel(int opset)
    {
        using var folder = new TempFolder();
        string model = Network(folder, opset);
        CompileResult result = Compile(folder, model, "m.mpack", Everything);

        Assert.Empty(result.Warnings);
        Assert.All(result.Tensors.Where(t => t.Name is "w1" or "w2" or "w3" or "fc"), t =>
        {
            Assert.Contains("int8(block=row", t.Encoding, StringComparison.Ordinal);
            Assert.InRange(t.RelativeError!.Value, 1e-4, 0.01);
        });
        using PackedModel packed = PackedModel.Open(folder["m.mpack"]);
        Assert.Equal(
            ["ort:QLinearConv(u8,s8)", "ort:QLinearConv(u8,s8)", "ort:QLinearConv(u8,s8)", "ort:MatMulIntegerToFloat(u8,s8)"],
            packed.Plan.Nodes.Where(n => n.Kernel != "expand").Select(n => n.Kernel));
        using ModelSession original = ModelSession.Open(model);
        using ModelSession expanded = ModelSession.Open(folder["m.mpack"], new ModelSessionOptions { ExpandAll = true });
        float[] expected = Output(original, 77);
        Assert.InRange(Decibels(expected, Output(packed, 77)), 28, 90);
        Assert.InRange(Decibels(expected, Output(expanded, 77)), 28, 90);
    }

    [Fact]
    public void Export_isStockOnnx_withIntegersPerChannel_andTheSameOutputs()
    {
        using var folder = new TempFolder();
        Compile(folder, Network(folder, 13), "m.mpack", Everything);

        ExportResult result = Exporting.Export(folder["m.mpack"], "onnx", folder["x.onnx"]);

        Assert.Equal(["any ONNX runtime that reads the model's opset"], result.LoadableBy);
        using ImportedModel imported = ModelPack.Containers.Containers.For(folder["x.onnx"]).Import(folder["x.onnx"]);
        Graph graph = imported.Model.Graph;
        var index = new GraphIndex(graph);
        Node first = graph.Nodes.First(n => n.Is("Conv"));
        Node weights = index.Producer(first.Inputs[1])!;
        Node bias = index.Producer(first.Inputs[2])!;
        Assert.Equal(("DequantizeLinear", "DequantizeLinear"), (weights.OpType, bias.OpType));
        Assert.Equal((DType.I8, new Shape(Channels, 3, 3, 3)), (index.Initializer(weights.Inputs[0])!.DType, index.Initializer(weights.Inputs[0])!.Shape));
        Assert.Equal((DType.I32, new Shape(Channels)), (index.Initializer(bias.Inputs[0])!.DType, index.Initializer(bias.Inputs[0])!.Shape));
        float input = Floats(index.Initializer(index.Producer(first.Inputs[0])!.Inputs[1])!)[0];
        Assert.Equal(Floats(index.Initializer(weights.Inputs[1])!).Select(s => s * input), Floats(index.Initializer(bias.Inputs[1])!));
        Assert.DoesNotContain(graph.Initializers, t => t.Name == "b1"); // Nobody reads the float bias any more.

        using ModelSession packed = ModelSession.Open(folder["m.mpack"]);
        using ModelSession exported = ModelSession.Open(folder["x.onnx"]);
        Assert.Equal(Output(packed, 3), Output(exported, 3));
    }

    [Fact]
    public void Verify_checksValuesAndDerivation_andThreadsDoNotMatter()
    {
        using var folder = new TempFolder();
        string model = Network(folder, 11);
        Compile(folder, model, "one.mpack", 1, Everything);
        Compile(folder, model, "three.mpack", 3, Everything);

        Assert.Equal(File.ReadAllBytes(folder["one.mpack"]), File.ReadAllBytes(folder["three.mpack"]));
        VerifyResult verified = Verification.Verify(folder["one.mpack"], against: model, rederive: model, calibration: folder["data"]);
        Assert.True(verified.Ok, string.Join("; ", verified.Errors));
        Assert.Contains(verified.Differences, d => d.Name == "w1" && !d.Identical);
    }

    [Fact]
    public void Calibrate_thenCompile_fromItsStatistics_givesTheSameRanges()
    {
        using var folder = new TempFolder();
        string model = Network(folder, 13);
        CalibrateResult calibrated = Calibrating.Run(new CalibrateRequest { Input = model, Data = folder["data"], Output = folder["s.safetensors"], Recipe = "w8a8" });
        Assert.All(calibrated.Values, v => Assert.Equal(1, v.Channels));

        string[] sets = [.. Everything, "quantize-activations.bias_correction=false"];
        Compile(folder, model, "data.mpack", sets);
        ModelCompiler.Compile(Request(folder, model, "statistics.mpack") with { Calibration = folder["s.safetensors"], Sets = sets });

        using ModelSession fromData = ModelSession.Open(folder["data.mpack"]);
        using ModelSession fromStatistics = ModelSession.Open(folder["statistics.mpack"]);
        Assert.Equal(Output(fromData, 5), Output(fromStatistics, 5));

        // Statistics taken for another recipe do not have what this one needs.
        Calibrating.Run(new CalibrateRequest { Input = model, Data = folder["data"], Output = folder["other.safetensors"], Recipe = "int4-calibrated" });
        Assert.Equal(
            ErrorCodes.StatisticsOfAnotherModel,
            Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(Request(folder, model, "x.mpack") with { Calibration = folder["other.safetensors"] })).Code);
    }

    [Fact]
    public void Compile_biasCorrection_bringsTheMeanOutputNearer()
    {
        using var folder = new TempFolder();
        string model = Network(folder, 13);
        double Shift(bool correct)
        {
            Compile(folder, model, "m.mpack", [.. Everything, $"quantize-activations.bias_correction={(correct ? "true" : "false")}"]);
            using ModelSession original = ModelSession.Open(model);
            using ModelSession packed = ModelSession.Open(folder["m.mpack"]);
            double[] sums = new double[10];
            for (int seed = 0; seed < 6; seed++)
            {
                float[] a = Output(original, seed);
                float[] b = Output(packed, seed);
                for (int i = 0; i < sums.Length; i++)
                {
                    sums[i] += b[i] - a[i];
                }
            }

            return sums.Sum(s => s * s);
        }

        Assert.InRange(Shift(correct: true), 0, Shift(correct: false));
    }

    [Fact]
    public void Compile_sensitiveOrSmallNodes_stayFloat_andAreNamed()
    {
        using var folder = new TempFolder();
        string model = Network(folder, 13);

        CompileResult sensitive = Compile(folder, model, "m.mpack", "quantize-activations.min_macs=0", "quantize-activations.min_sqnr_db=60");
        Assert.Contains(sensitive.Warnings, w => w.Contains("4 of 4 weighted nodes stay float", StringComparison.Ordinal) && w.Contains("dB of signal over noise", StringComparison.Ordinal));
        CompileResult small = Compile(folder, model, "m.mpack", "quantize-activations.min_macs=1000000000");
        Assert.Contains(small.Warnings, w => w.Contains("multiplications are too few", StringComparison.Ordinal));
        CompileResult named = Compile(folder, model, "m.mpack", [.. Everything, "quantize-activations.exclude=w2,fc", "quantize-activations.depthwise=keep"]);
        Assert.Contains(named.Warnings, w => w.Contains("2 of 4 weighted nodes stay float", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(39)]
    [InlineData(42)]
    public void Compile_leastRatioAtTheOutputs_isKept(int decibels)
    {
        using var folder = new TempFolder();
        string model = Network(folder, 13);
        double Reached(params string[] sets)
        {
            Compile(folder, model, "m.mpack", sets);
            using ModelSession original = ModelSession.Open(model);
            using ModelSession packed = ModelSession.Open(folder["m.mpack"]);
            return Decibels([.. Samples().SelectMany(x => Output(original, x))], [.. Samples().SelectMany(x => Output(packed, x))]);
        }

        Assert.InRange(Reached(Everything), 25, decibels);
        Assert.InRange(Reached([.. Everything, $"quantize-activations.min_output_sqnr_db={decibels}"]), decibels - 0.5, 90);
    }

    [Fact]
    public void Compile_gptqBefore_keepsItsCodes()
    {
        using var folder = new TempFolder();
        string model = Network(folder, 13);
        File.WriteAllText(folder["r.json"], """
            {"name":"r","passes":["canonicalize","fuse-elementwise",
              {"pass":"quantize","format":"int8(block=row)","scale":"f32","algorithm":"gptq","min_elements":1,"ops":["MatMul"]},
              {"pass":"quantize-activations","min_macs":0,"min_sqnr_db":0}]}
            """);

        CompileResult result = ModelCompiler.Compile(Request(folder, model, "m.mpack") with { Recipe = folder["r.json"] });

        using PackedModel packed = PackedModel.Open(folder["m.mpack"]);
        Assert.Contains(packed.Plan.Nodes, n => n is { Tensor: "fc", Kernel: "ort:MatMulIntegerToFloat(u8,s8)" });
        Assert.DoesNotContain(result.Warnings, w => w.Contains("fc", StringComparison.Ordinal) && w.Contains("stay float", StringComparison.Ordinal));
        using ModelSession original = ModelSession.Open(model);
        Assert.InRange(Decibels(Output(original, 9), Output(packed, 9)), 28, 90);
    }

    [Fact]
    public void Compile_withoutOrWithBadData_saysWhatIsWrong()
    {
        using var folder = new TempFolder();
        string model = Network(folder, 13);
        Assert.Equal(ErrorCodes.CalibrationMissing, Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(Request(folder, model, "x.mpack") with { Calibration = null })).Code);
        Assert.True(ModelCompiler.Compile(Request(folder, model, "x.mpack") with { Calibration = null, DryRun = true }).Ratio > 2);

        void Bad(ErrorCode code, string text, DType dtype, long[] shape, byte[] bytes)
        {
            Directory.CreateDirectory(folder["bad"]);
            NpyFile.Write(folder["bad/x.npy"], dtype, new Shape(shape), TensorData.FromBytes(bytes));
            ModelPackException e = Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(Request(folder, model, "x.mpack") with { Calibration = folder["bad"] }));
            Assert.Equal(code, e.Code);
            Assert.Contains(text, e.Message, StringComparison.Ordinal);
            Assert.False(File.Exists(folder["x.mpack"]));
        }

        Bad(ErrorCodes.CalibrationData, "takes", DType.F32, [1, 3, 16], new byte[3 * 16 * 4]);
        Bad(ErrorCodes.CalibrationData, "f64", DType.F64, [1, 3, 16, 16], new byte[3 * 256 * 8]);
        float[] values = Values.Weights(1, 3 * 256);
        values[100] = float.NaN;
        Bad(ErrorCodes.CalibrationNotFinite, "NaN", DType.F32, [1, 3, 16, 16], MemoryMarshal.AsBytes(values.AsSpan()).ToArray());
    }

    [Fact]
    public void Compile_activationThatIsAlwaysZero_warns_andRuns()
    {
        using var folder = new TempFolder();
        string model = folder["zero.onnx"];
        File.WriteAllBytes(model, new OnnxBuilder(13)
            .Input("x", OnnxBuilder.Float, 1, 3, 16, 16)
            .Output("y", OnnxBuilder.Float, 1, 4, 16, 16)
            .Initializer("w", new float[12], 4, 3, 1, 1)
            .Initializer("v", SmallModels.Values(16, 3), 4, 4, 1, 1)
            .Node("Conv", ["x", "w"], ["a"])
            .Node("Relu", ["a"], ["b"])
            .Node("Conv", ["b", "v"], ["y"])
            .Build());
        WriteData(folder);

        CompileResult result = Compile(folder, model, "m.mpack", Everything);

        Assert.Contains(result.Warnings, w => w.Contains("'b' is zero wherever", StringComparison.Ordinal));
        using ModelSession packed = ModelSession.Open(folder["m.mpack"]);
        Assert.All(Output(packed, 1), v => Assert.Equal(0, v));
    }

    [Fact]
    public void Compile_biasTooLargeForTinyWeights_becomesExactOnItsOwn()
    {
        using var folder = new TempFolder();
        string model = folder["dead.onnx"];
        float[] weights = SmallModels.Values(12, 3);
        weights.AsSpan(0, 3).Fill(1e-15f);
        File.WriteAllBytes(model, new OnnxBuilder(13)
            .Input("x", OnnxBuilder.Float, 1, 3, 16, 16)
            .Output("y", OnnxBuilder.Float, 1, 4, 16, 16)
            .Initializer("w", weights, 4, 3, 1, 1)
            .Initializer("b", [2f, 0.5f, -1f, 0f], 4)
            .Node("Conv", ["x", "w", "b"], ["y"])
            .Build());
        WriteData(folder);

        Compile(folder, model, "m.mpack", Everything);

        using ModelSession original = ModelSession.Open(model);
        using ModelSession packed = ModelSession.Open(folder["m.mpack"]);
        float[] expected = Output(original, 2);
        float[] actual = Output(packed, 2);
        Assert.All(Enumerable.Range(0, 256), i => Assert.Equal(expected[i], actual[i], 0.03));
        Assert.InRange(Decibels(expected, actual), 30, 90);
    }

    /// <summary>Conv with Relu, depthwise Conv with hard-swish written out and scaled, pooling, Conv on two branches, and a MatMul at the end.</summary>
    private static string Network(TempFolder folder, int opset)
    {
        string path = folder["net.onnx"];
        var builder = new OnnxBuilder(opset)
            .Input("x", OnnxBuilder.Float, "n", 3, "h", "w")
            .Output("y", OnnxBuilder.Float, "n", 10)
            .Initializer("w1", SmallModels.Values(Channels * 27, 1), Channels, 3, 3, 3)
            .Initializer("b1", SmallModels.Values(Channels, 2), Channels)
            .Initializer("w2", SmallModels.Values(Channels * 9, 3), Channels, 1, 3, 3)
            .Initializer("w3", SmallModels.Values(Channels * Channels, 4), Channels, Channels, 1, 1)
            .Initializer("b3", SmallModels.Values(Channels, 5), Channels)
            .Initializer("fc", SmallModels.Values(Channels * 10, 6), Channels, 10)
            .Initializer("three", [3f])
            .Initializer("six", [6f])
            .Initializer("zero", [0f])
            .Initializer("factor", [1.25f], 1)
            .Initializer("offset", [-0.5f], 1)
            .Node("Conv", ["x", "w1", "b1"], ["c1"], attributes: [("pads", new long[] { 1, 1, 1, 1 })])
            .Node("Relu", ["c1"], ["r1"])
            .Node("Conv", ["r1", "w2"], ["c2"], attributes: [("pads", new long[] { 1, 1, 1, 1 }), ("group", (long)Channels)])
            .Node("Add", ["c2", "three"], ["h1"]);
        builder = opset < 11
            ? builder.Node("Clip", ["h1"], ["h2"], attributes: [("min", 0f), ("max", 6f)])
            : builder.Node("Clip", ["h1", "zero", "six"], ["h2"]);
        File.WriteAllBytes(path, builder
            .Node("Mul", ["c2", "h2"], ["h3"])
            .Node("Div", ["h3", "six"], ["h4"])
            .Node("Mul", ["factor", "h4"], ["h5"])
            .Node("Add", ["h5", "offset"], ["h6"])
            .Node("MaxPool", ["h6"], ["p1"], attributes: [("kernel_shape", new long[] { 2, 2 }), ("strides", new long[] { 2, 2 })])
            .Node("Conv", ["p1", "w3", "b3"], ["c3"])
            .Node("Add", ["c3", "p1"], ["s1"])
            .Node("GlobalAveragePool", ["s1"], ["g1"])
            .Node("Flatten", ["g1"], ["f1"])
            .Node("MatMul", ["f1", "fc"], ["y"])
            .Build());
        WriteData(folder);
        return path;
    }

    private static IEnumerable<float[]> Samples() => Enumerable.Range(0, 6).Select(sample => SmallModels.Values(3 * 256, (ulong)sample + 100));

    private static void WriteData(TempFolder folder)
    {
        foreach ((int sample, float[] values) in Samples().Index())
        {
            Directory.CreateDirectory(folder[$"data/{sample}"]);
            NpyFile.Write(folder[$"data/{sample}/x.npy"], DType.F32, new Shape(1, 3, 16, 16), TensorData.FromBytes(MemoryMarshal.AsBytes(values.AsSpan()).ToArray()));
        }
    }

    private static float[] Output(ModelSession session, int seed) => Output(session, SmallModels.Values(3 * 256, (ulong)seed + 1000));

    private static float[] Output(ModelSession session, float[] x) => session.Run(NamedTensor.Of("x", x, [1, 3, 16, 16]))[0].Values<float>().ToArray();

    private static double Decibels(float[] expected, float[] actual)
    {
        double signal = expected.Sum(v => (double)v * v);
        double noise = expected.Zip(actual).Sum(p => Math.Pow((double)p.First - p.Second, 2));
        return 10 * Math.Log10(signal / noise);
    }

    private static float[] Floats(Tensor tensor) => tensor.TryGetRawData(out TensorData data) ? MemoryMarshal.Cast<byte, float>(data.ToArray()).ToArray() : [];

    private static CompileRequest Request(TempFolder folder, string model, string output) => new()
    {
        Input = model,
        Output = folder[output],
        Recipe = "w8a8",
        Calibration = folder["data"],
        CalibrationOptions = new CalibrationOptions { CacheFolder = folder["cache"] },
    };

    private static CompileResult Compile(TempFolder folder, string model, string output, params string[] sets) => Compile(folder, model, output, 0, sets);

    private static CompileResult Compile(TempFolder folder, string model, string output, int threads, string[] sets) =>
        ModelCompiler.Compile(Request(folder, model, output) with { Sets = sets, Threads = threads });
}
