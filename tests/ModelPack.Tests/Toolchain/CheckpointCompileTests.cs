using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Runtime;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Models without a graph, and files that only are to be kept.</summary>
public sealed class CheckpointCompileTests
{
    private static readonly string Sample = RepositoryTree.PathTo("samples", "models", "tinyllama");

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Unpack_compiledCheckpoint_givesBackTheFolderWithItsFiles(bool weightsOnly)
    {
        using var folder = new TempFolder();
        string artifact = folder["c.mpack"];
        string restored = folder["restored"];
        ModelCompiler.Compile(new CompileRequest { Input = Sample, WeightsOnly = weightsOnly, Output = artifact, Recipe = "int8" });
        FilePacking.Unpack(artifact, restored);
        foreach (string file in new[] { "config.json", "tokenizer.json", "vocab.json", "merges.txt" })
        {
            Assert.Equal(File.ReadAllBytes(Path.Combine(Sample, file)), File.ReadAllBytes(Path.Combine(restored, file)));
        }

        CompareResult compared = Comparison.Compare(Path.Combine(Sample, "model.safetensors"), restored);
        Assert.Empty(compared.Missing);
        Assert.Empty(compared.Extra);
        Assert.All(compared.Tensors, t => Assert.InRange(t.RelativeError!.Value, 0, 0.007));
        Assert.Contains(compared.Tensors, t => t.RelativeError > 0.001);
        Assert.True(Verification.Verify(artifact, against: Sample, rederive: Sample).Ok);
    }

    [Fact]
    public void Unpack_otherDtype_widensFloatsOnly()
    {
        using var folder = new TempFolder();
        string artifact = folder["c.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = Path.Combine(Sample, "model.safetensors"), Output = artifact, Recipe = "lossless" });
        FilePacking.Unpack(artifact, folder["wide.safetensors"], DType.F32);
        InspectResult wide = Inspection.Inspect(folder["wide.safetensors"]);
        Assert.All(wide.Tensors, t => Assert.Equal("f32", t.DType));
        Assert.All(Comparison.Compare(Path.Combine(Sample, "model.safetensors"), folder["wide.safetensors"]).Tensors, t => Assert.Equal(0, t.RelativeError));
    }

    [Fact]
    public void Run_artifactOfWeightsOnly_isMP5002()
    {
        using var folder = new TempFolder();
        string artifact = folder["c.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = Sample, WeightsOnly = true, Output = artifact, Recipe = "int8" });
        var error = Assert.Throws<ModelPackException>(() => Execution.Run(artifact, []));
        Assert.Equal(ErrorCodes.ArtifactWithoutGraph, error.Code);
    }

    [Fact]
    public void Verify_againstAnotherModel_isAnError()
    {
        using var folder = new TempFolder();
        (_, string artifact) = CompileTests.Compile(folder, "language", "int8");
        string other = folder["other.onnx"];
        File.WriteAllBytes(other, NetworkModel.Image());
        Assert.False(Verification.Verify(artifact, against: other).Ok);
        Assert.Equal(ErrorCodes.NotTheOriginal, Assert.Throws<ModelPackException>(() => Verification.Verify(artifact, rederive: other)).Code);
    }

    [Fact]
    public void Pack_modelWithExternalData_givesBackBothFiles()
    {
        using var folder = new TempFolder();
        byte[] weights = [.. SmallModels.Values(SmallModels.K * SmallModels.N, 1).SelectMany(BitConverter.GetBytes)];
        byte[] model = new OnnxBuilder()
            .Input("x", OnnxBuilder.Float, 1, SmallModels.K)
            .Output("y", OnnxBuilder.Float, 1, SmallModels.N)
            .External("w", OnnxBuilder.Float, [SmallModels.K, SmallModels.N], "weights.bin", 0, weights.Length)
            .Node("MatMul", ["x", "w"], ["y"])
            .Build();
        File.WriteAllBytes(folder["m.onnx"], model);
        File.WriteAllBytes(folder["weights.bin"], weights);
        FilePacking.Pack(folder["m.onnx"], folder["m.mpack"]);
        Directory.CreateDirectory(folder["out"]);
        PackFileResult result = FilePacking.Unpack(folder["m.mpack"], Path.Combine(folder["out"], "again.onnx"));
        Assert.Equal(2, result.Files.Count);
        Assert.Equal(model, File.ReadAllBytes(Path.Combine(folder["out"], "again.onnx")));
        Assert.Equal(weights, File.ReadAllBytes(Path.Combine(folder["out"], "weights.bin")));
    }

    [Theory]
    [InlineData("")]
    [InlineData("just text, no model")]
    [InlineData("\u0010\0\0\0\0\0\0\0{}              ")]
    public void Pack_anyFile_comesBack(string content)
    {
        using var folder = new TempFolder();
        byte[] bytes = System.Text.Encoding.Latin1.GetBytes(content);
        File.WriteAllBytes(folder["f"], bytes);
        FilePacking.Pack(folder["f"], folder["f.mpack"]);
        FilePacking.Unpack(folder["f.mpack"], folder["g"]);
        Assert.Equal(bytes, File.ReadAllBytes(folder["g"]));
    }
}
