using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Calibration data that are made because there are none.</summary>
public sealed class GeneratedDataTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Images_areTheSameForASeed_andLookLikePictures()
    {
        string model = Image(OnnxBuilder.Float, "n", 3, "h", "w");
        float[] first = Pictures(model, "generate:images(size=24x40,samples=2)", new Shape(1, 3, 24, 40));

        Assert.Equal(first, Pictures(model, "generate:images(size=24x40,samples=2)", new Shape(1, 3, 24, 40)));
        Assert.NotEqual(first, Pictures(model, "generate:images(size=24x40,samples=2,seed=1)", new Shape(1, 3, 24, 40)));
        Assert.All(first, v => Assert.InRange(v, -1, 1));
        Assert.InRange(first.Average(), -0.5, 0.5);

        // Neighbours are alike, as in photographs; in noise they have nothing to do with each other.
        double mean = first.Average();
        double variance = first.Sum(v => Math.Pow(v - mean, 2)) / first.Length;
        double together = 0;
        for (int i = 0; i < first.Length - 1; i++)
        {
            together += (first[i] - mean) * (first[i + 1] - mean) / (first.Length - 1);
        }

        Assert.InRange(together / variance, 0.5, 1);
    }

    [Fact]
    public void Images_followTheInput()
    {
        float[] unit = Pictures(Image(OnnxBuilder.Float, 2, 16, 16, 1), "generate:images(range=unit,size=99x99)", new Shape(2, 16, 16, 1));
        Assert.All(unit, v => Assert.InRange(v, 0, 1));
        Assert.False(unit.AsSpan(0, 256).SequenceEqual(unit.AsSpan(256)), "both images of a batch are the same");
        string model = Image(2, 1, 3, 8, 8);
        using ImportedModel imported = Import(model);
        using GeneratedData data = GeneratedData.Make("generate:images(range=bytes)", model, imported.Model, Limits());
        using NpyFile file = NpyFile.Open(Path.Combine(data.Path, "0003", "x.npy"));
        Assert.Equal(DType.U8, file.DType);
        Assert.Equal(16, Directory.GetDirectories(data.Path).Length);
    }

    [Fact]
    public void Text_isWhatTheModelWrites_theSameForASeed()
    {
        string model = _folder.Write("m.onnx", NetworkModel.Language());
        ushort[] Tokens(string specification)
        {
            using ImportedModel imported = Import(model);
            using GeneratedData data = GeneratedData.Make(specification, model, imported.Model, Limits());
            return MemoryMarshal.Cast<byte, ushort>(File.ReadAllBytes(data.Path)).ToArray();
        }

        ushort[] text = Tokens("generate:text(samples=40,window=8)");
        Assert.Equal(320, text.Length);
        Assert.All(text, t => Assert.InRange(t, 0, NetworkModel.Vocabulary - 1));
        Assert.InRange(text.Distinct().Count(), 20, NetworkModel.Vocabulary);
        Assert.Equal(text, Tokens("generate:text(samples=40,window=8)"));
        Assert.NotEqual(text, Tokens("generate:text(samples=40,window=8,seed=7)"));
        // The first samples do not depend on how many there are.
        Assert.Equal(text[..24], Tokens("generate:text(samples=3,window=8)"));
    }

    [Fact]
    public void Compile_recipeThatGeneratesItsData_saysSo_andIsRederivedFromTheRecordAlone()
    {
        string model = _folder.Write("m.onnx", NetworkModel.Language());
        string recipe = _folder.Write("r.json", """
            { "name": "r", "calibration": "generate:text(samples=20,window=12)",
              "passes": ["canonicalize", { "pass": "quantize", "format": "int4", "block": 32, "algorithm": "gptq", "min_elements": 64, "min_vectors": 1 }] }
            """);
        CompileResult result = ModelCompiler.Compile(new CompileRequest { Input = model, Output = _folder["m.mpack"], Recipe = recipe, CalibrationOptions = new CalibrationOptions { CacheFolder = _folder["cache"] } });

        Assert.Contains(result.Warnings, w => w.Contains("calibrated on generated-text, not on data", StringComparison.Ordinal));
        using (var reader = ModelPack.Pack.PackReader.Open(_folder["m.mpack"]))
        {
            Assert.Equal("generated-text(samples=20,window=12)", Artifact.ReadProvenance(reader).Calibration!.Name);
        }

        VerifyResult verified = Verification.Verify(_folder["m.mpack"], rederive: model);
        Assert.True(verified.Ok, string.Join("; ", verified.Errors));
        Assert.True(verified.Rederived);
    }

    [Theory]
    [InlineData("generate:fog", 1022, "nothing that can be generated")]
    [InlineData("generate:text(samples=0)", 1022, "samples=0")]
    [InlineData("generate:text(colour=red)", 1022, "colour")]
    [InlineData("generate:images(size=9)", 1022, "height x width")]
    [InlineData("generate:images(range=wide)", 1022, "signed")]
    [InlineData("generate:images", 2213, "input 'ids' is none")]
    public void Make_whatCannotBeMade_isOneClearError(string specification, int code, string message)
    {
        string model = _folder.Write("m.onnx", NetworkModel.Language());
        ModelPackException error = Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(
            new CompileRequest { Input = model, Output = _folder["m.mpack"], Recipe = "int4-calibrated", Calibration = specification }));
        Assert.Equal(code, error.Code.Number);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(_folder["m.mpack"]));
    }

    [Fact]
    public void Text_forAnImageModel_isMP2213() => Assert.Equal(
        ErrorCodes.CalibrationData,
        Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(
            new CompileRequest { Input = _folder.Write("i.onnx", NetworkModel.Image()), Output = _folder["m.mpack"], Recipe = "w8a8", Calibration = "generate:text" })).Code);

    private static float[] Pictures(string model, string specification, Shape shape)
    {
        using ImportedModel imported = Import(model);
        using GeneratedData data = GeneratedData.Make(specification, model, imported.Model, Limits());
        using NpyFile file = NpyFile.Open(Path.Combine(data.Path, "0001", "x.npy"));
        Assert.Equal(shape, file.Shape);
        return MemoryMarshal.Cast<byte, float>(file.Data.ToArray()).ToArray();
    }

    private string Image(int type, params object[] dims) => _folder.Write("i.onnx", new OnnxBuilder()
        .Input("x", type, dims)
        .Output("y", type)
        .Node("Identity", ["x"], ["y"])
        .Build());

    private static ImportedModel Import(string path) => ModelPack.Containers.Containers.For(path).Import(path);

    private static CalibrationLimits Limits() => new(1, 1 << 28, null, CancellationToken.None);
}
