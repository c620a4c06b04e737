using System.Runtime.InteropServices;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Runtime;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Activations in 8-bit floats and dynamic 8-bit integers, as ONNX Runtime computes them.</summary>
public sealed class RoundedInputsTests
{
    private const int Rows = 5;
    private const int K = SmallModels.K;
    private const int N = SmallModels.N;

    [Theory]
    [InlineData("f8e4m3fn", "row", 3, 448)]
    [InlineData("f8e4m3fn", "tensor", 3, 448)]
    [InlineData("f8e4m3fn", "static", 3, 448)]
    [InlineData("f8e5m2", "row", 2, 57344)]
    public void Product_isThatOfTheRoundedValues(string format, string scales, int mantissa, double largest)
    {
        using var folder = new TempFolder();
        float[] weights = SmallModels.Values(K * N, 1);
        float[] x = Inputs(2);
        x.AsSpan(K, K).Clear(); // A row of zeros has no scale.
        string model = Product(folder, weights, x);
        File.WriteAllText(folder["r.json"], $$"""{"name":"r","passes":["canonicalize",{"pass":"quantize-inputs","ends":true,"format":"{{format}}","scales":"{{scales}}"}]}""");
        ModelCompiler.Compile(Request(folder, model, folder["r.json"]));

        double all = x.Max(MathF.Abs);
        double[] rounded = new double[x.Length];
        for (int i = 0; i < x.Length; i++)
        {
            double range = scales switch
            {
                "row" => x.AsSpan(i / K * K, K).ToArray().Max(MathF.Abs),
                "tensor" => all,
                _ => all * 2, // The backoff is one half.
            };
            double scale = (float)(Math.Max(range, 1e-30) / largest);
            rounded[i] = Round(x[i] / scale, mantissa, largest) * scale;
        }

        double[] expected = Multiply(rounded, weights);
        float[] actual = Run(folder["m.mpack"], x);
        Assert.All(expected.Zip(actual), p => Assert.InRange(p.First - p.Second, -2e-5, 2e-5));
        Assert.Contains(Multiply([.. x.Select(v => (double)v)], weights).Zip(actual), p => Math.Abs(p.First - p.Second) > 1e-3);
    }

    [Theory]
    [InlineData("fp8-dynamic", "modelpack:PackedMatMul(fp8,f32)", 22)]
    [InlineData("fp8-static", "modelpack:PackedMatMul(fp8,f32)", 22)]
    [InlineData("w8a8-dynamic", "ort:MatMulIntegerToFloat(u8,s8)", 30)]
    public void Recipe_runsByItsKernel_nearTheFloatModel_andAsStockOnnx(string recipe, string kernel, double decibels)
    {
        using var folder = new TempFolder();
        float[] x = Inputs(3);
        string model = Product(folder, SmallModels.Values(K * N, 4), x);
        CompileResult result = ModelCompiler.Compile(Request(folder, model, recipe) with { Sets = ["quantize-inputs.ends=true"] });

        Assert.Empty(result.Warnings);
        using (PackedModel packed = PackedModel.Open(folder["m.mpack"]))
        {
            Assert.Equal([kernel], packed.Plan.Nodes.Where(n => n.Op == "MatMul").Select(n => n.Kernel));
        }

        float[] expected = Run(model, x);
        float[] actual = Run(folder["m.mpack"], x);
        Assert.InRange(Decibels(expected, actual), decibels, decibels + 20);
        Exporting.Export(folder["m.mpack"], "onnx", folder["x.onnx"]);
        Assert.InRange(Decibels(actual, Run(folder["x.onnx"], x)), 90, double.PositiveInfinity);
        Assert.True(Verification.Verify(folder["m.mpack"], rederive: model, calibration: recipe == "fp8-static" ? folder["data"] : null).Ok);
    }

    [Fact]
    public void Gemm_onDynamicIntegers_addsItsBias()
    {
        using var folder = new TempFolder();
        string model = folder["gemm.onnx"];
        float[] bias = SmallModels.Values(N, 7);
        File.WriteAllBytes(model, new OnnxBuilder(13)
            .Input("x", OnnxBuilder.Float, "n", K)
            .Output("y", OnnxBuilder.Float, "n", N)
            .Initializer("w", SmallModels.Values(N * K, 8), N, K)
            .Initializer("b", bias, N)
            .Node("Gemm", ["x", "w", "b"], ["y"], attributes: ("transB", 1L))
            .Build());
        ModelCompiler.Compile(Request(folder, model, "w8a8-dynamic") with { Sets = ["quantize-inputs.ends=true"] });

        float[] x = Inputs(9);
        Assert.InRange(Decibels(Run(model, x), Run(folder["m.mpack"], x)), 30, 60);
        float[] zeros = Run(folder["m.mpack"], new float[x.Length]);
        Assert.Equal(bias, zeros[..N]);
    }

    private static string Product(TempFolder folder, float[] weights, float[] x)
    {
        string path = folder["product.onnx"];
        File.WriteAllBytes(path, new OnnxBuilder(13)
            .Input("x", OnnxBuilder.Float, "n", K)
            .Output("y", OnnxBuilder.Float, "n", N)
            .Initializer("w", weights, K, N)
            .Node("MatMul", ["x", "w"], ["y"])
            .Build());
        Directory.CreateDirectory(folder["data"]);
        NpyFile.Write(folder["data/x.npy"], DType.F32, new Shape(Rows, K), TensorData.FromBytes(MemoryMarshal.AsBytes(x.AsSpan()).ToArray()));
        return path;
    }

    /// <summary>Rows of different size.</summary>
    private static float[] Inputs(ulong seed) => [.. SmallModels.Values(Rows * K, seed).Select((v, i) => v * (1 + (i / K)))];

    private static double Round(double value, int mantissa, double largest)
    {
        int least = mantissa == 3 ? -6 : -14;
        double step = Math.ScaleB(1, Math.Max(value == 0 ? least : Math.ILogB(value), least) - mantissa);
        return Math.Clamp(Math.Round(value / step) * step, -largest, largest);
    }

    private static double[] Multiply(double[] x, float[] weights)
    {
        double[] y = new double[Rows * N];
        for (int i = 0; i < y.Length; i++)
        {
            for (int k = 0; k < K; k++)
            {
                y[i] += x[(i / N * K) + k] * weights[(k * N) + (i % N)];
            }
        }

        return y;
    }

    private static float[] Run(string model, float[] x)
    {
        using ModelSession session = ModelSession.Open(model);
        return session.Run(NamedTensor.Of("x", x, Rows, K))[0].Values<float>().ToArray();
    }

    private static double Decibels(float[] expected, float[] actual) =>
        10 * Math.Log10(expected.Sum(v => (double)v * v) / expected.Zip(actual).Sum(p => Math.Pow((double)p.First - p.Second, 2)));

    private static CompileRequest Request(TempFolder folder, string model, string recipe) => new()
    {
        Input = model,
        Output = folder["m.mpack"],
        Recipe = recipe,
        Calibration = recipe is "w8a8-dynamic" or "fp8-dynamic" ? null : folder["data"],
        CalibrationOptions = new CalibrationOptions { CacheFolder = folder["cache"] },
    };
}
