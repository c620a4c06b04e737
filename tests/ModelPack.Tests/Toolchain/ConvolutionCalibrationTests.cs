using System.Runtime.InteropServices;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Runtime;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Convolutions on calibration data: second moments of patches, group by group.</summary>
public sealed class ConvolutionCalibrationTests
{
    private const string Gptq = """
        {"name":"gptq","passes":["canonicalize","fold-constants",{"pass":"quantize","format":"int3","block":32,"scale":"f32","algorithm":"gptq","ends":"same","min_elements":1,"min_vectors":16}]}
        """;

    [Theory]
    [InlineData("", 0.75)]
    [InlineData("quantize.refine=2", 0.75)]
    [InlineData("quantize.sequential=false", 0.75)]
    [InlineData("quantize.positions=40", 0.85)]
    public void Compile_convolutions_loseLessThanByRounding_onAnyNumberOfThreads(string set, double most)
    {
        using var folder = new TempFolder();
        (string model, string data) = Network(folder);
        CompileResult result = Compile(folder, model, "g.mpack", data, set);
        Compile(folder, model, "g1.mpack", data, set, threads: 1);
        Compile(folder, model, "n.mpack", null, "quantize.algorithm=rtn");

        Assert.Empty(result.Warnings);
        Assert.Equal(File.ReadAllBytes(folder["g1.mpack"]), File.ReadAllBytes(folder["g.mpack"]));
        Assert.InRange(Error(model, folder["g.mpack"]) / Error(model, folder["n.mpack"]), 0, most);
    }

    [Fact]
    public void Statistics_inPlaceOfData_serveConvolutionsToo()
    {
        using var folder = new TempFolder();
        (string model, string data) = Network(folder);
        string recipe = folder.Write("r.json", Gptq);
        CalibrateResult taken = Calibrating.Run(new CalibrateRequest { Input = model, Data = data, Output = folder["s.safetensors"], Recipe = recipe });
        Compile(folder, model, "s.mpack", folder["s.safetensors"], "");
        Compile(folder, model, "d.mpack", data, "quantize.sequential=false");

        // One for each dense convolution, eight for the groups of the depthwise one.
        Assert.Equal(10, taken.Values.Count);
        double[] errors = [Error(model, folder["s.mpack"]), Error(model, folder["d.mpack"])];
        Assert.Equal(1, errors[0] / errors[1], 1e-6);
        Calibrating.Run(new CalibrateRequest { Input = model, Data = data, Output = folder["few.safetensors"], Recipe = recipe, SecondMoments = false });
        Assert.Equal(ErrorCodes.StatisticsOfAnotherModel, Assert.Throws<ModelPackException>(() => Compile(folder, model, "f.mpack", folder["few.safetensors"], "")).Code);
    }

    [Fact]
    public void Group_thatIsAlwaysZero_isRoundedToNearest()
    {
        using var folder = new TempFolder();
        (string model, string data) = Network(folder, dead: 2);
        Compile(folder, model, "g.mpack", data, "quantize.refine=1");
        Compile(folder, model, "n.mpack", null, "quantize.algorithm=rtn");

        Assert.InRange(Error(model, folder["g.mpack"]) / Error(model, folder["n.mpack"]), 0, 0.75);
    }

    /// <summary>x [1, 3, 12, 12] -> Conv 3x3, stride 2 -> Relu -> depthwise 3x3, SAME_UPPER -> Relu -> Conv 1x1 -> y; a dead channel is 0 whatever x is.</summary>
    private static (string Model, string Data) Network(TempFolder folder, int dead = -1)
    {
        float[] bias = [.. Enumerable.Range(0, 8).Select(i => i == dead ? -1000f : 0.1f)];
        string model = folder["model.onnx"];
        File.WriteAllBytes(model, new OnnxBuilder()
            .Input("x", OnnxBuilder.Float, 1, 3, 12, 12)
            .Output("y", OnnxBuilder.Float, 1, 10, 6, 6)
            .Initializer("w1", SmallModels.Values(8 * 27, 1), 8, 3, 3, 3)
            .Initializer("b1", bias, 8)
            .Initializer("w2", SmallModels.Values(8 * 9, 2), 8, 1, 3, 3)
            .Initializer("w3", SmallModels.Values(10 * 8, 3), 10, 8, 1, 1)
            .Node("Conv", ["x", "w1", "b1"], ["c1"], attributes: [("pads", (long[])[1, 1, 1, 1]), ("strides", (long[])[2, 2])])
            .Node("Relu", ["c1"], ["r1"])
            .Node("Conv", ["r1", "w2"], ["c2"], attributes: [("group", 8L), ("auto_pad", "SAME_UPPER")])
            .Node("Relu", ["c2"], ["r2"])
            .Node("Conv", ["r2", "w3"], ["y"])
            .Build());
        for (int sample = 0; sample < 12; sample++)
        {
            Directory.CreateDirectory(folder[$"data/{sample}"]);
            NpyFile.Write(folder[$"data/{sample}/x.npy"], DType.F32, new Shape(1, 3, 12, 12), TensorData.FromBytes(MemoryMarshal.AsBytes(Smooth(sample).AsSpan()).ToArray()));
        }

        return (model, folder["data"]);
    }

    /// <summary>Images whose neighbours are alike, as those of real images are: second moments far from diagonal.</summary>
    private static float[] Smooth(int seed)
    {
        float[] noise = SmallModels.Values(3 * 144, (ulong)seed + 50);
        for (int i = 1; i < noise.Length; i++)
        {
            noise[i] = (0.8f * noise[i - 1]) + (0.5f * noise[i]);
        }

        return noise;
    }

    private static CompileResult Compile(TempFolder folder, string model, string output, string? data, string set, int threads = 3) => ModelCompiler.Compile(new CompileRequest
    {
        Input = model,
        Output = folder[output],
        Recipe = folder.Write("recipe.json", Gptq),
        Calibration = data,
        CalibrationOptions = new CalibrationOptions { CacheFolder = folder["cache"] },
        Sets = set.Length > 0 ? [set] : [],
        Threads = threads,
    });

    private static double Error(string model, string artifact)
    {
        using ModelSession original = ModelSession.Open(model);
        using ModelSession compressed = ModelSession.Open(artifact);
        double sum = 0;
        for (int sample = 20; sample < 32; sample++)
        {
            float[] x = Smooth(sample);
            float[] Run(ModelSession session) => session.Run(NamedTensor.Of("x", x, 1, 3, 12, 12))[0].Values<float>().ToArray();
            sum += Run(original).Zip(Run(compressed), (a, b) => ((double)a - b) * ((double)a - b)).Sum();
        }

        return sum;
    }
}
