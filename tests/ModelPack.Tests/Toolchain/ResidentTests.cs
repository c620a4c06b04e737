using ModelPack.Runtime;
using ModelPack.Runtime.Evaluation;
using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Models with less memory than weights.</summary>
public sealed class ResidentTests
{
    [Theory]
    [InlineData("int4")]
    [InlineData("bf16")]
    [InlineData("lossless")]
    public void Outputs_do_not_depend_on_the_memory_for_weights(string recipe)
    {
        using var folder = new TempFolder();
        (string model, string artifact) = (folder["m.onnx"], folder["m.mpack"]);
        File.WriteAllBytes(model, NetworkModel.Language());
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = artifact, Recipe = recipe, Sets = recipe == "int4" ? ["quantize.ends=same", "quantize.min_elements=64"] : [] });
        using PackedModel whole = PackedModel.Open(artifact);
        Assert.Null(whole.Residency);
        IReadOnlyList<NamedTensor> inputs = SampleInputs.Random(whole);
        byte[] expected = whole.Run(inputs)[0].Bytes.ToArray();
        foreach (long budget in new long[] { 1, 2000, 1 << 30 })
        {
            using PackedModel resident = PackedModel.Open(artifact, new ModelSessionOptions { ResidentBytes = budget });
            Residency residency = resident.Residency!;
            Assert.Equal(recipe != "lossless", residency.WeightBytes > 0);
            Assert.Equal(budget == 1 << 30 ? 0 : residency.WeightBytes, budget == 2000 ? residency.WeightBytes : residency.StreamedBytes);
            Parallel.For(0, 6, _ => Assert.Equal(expected, resident.Run(inputs)[0].Bytes.ToArray()));
        }

        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal([model, artifact], Directory.GetFileSystemEntries(folder.Path).Order(StringComparer.Ordinal).Reverse());
        }
    }

    [Fact]
    public void A_damaged_artifact_leaves_no_temporary_folder()
    {
        using var folder = new TempFolder();
        (string model, string artifact) = (folder["m.onnx"], folder["m.mpack"]);
        File.WriteAllBytes(model, NetworkModel.Language());
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = artifact, Recipe = "int4" });
        byte[] bytes = File.ReadAllBytes(artifact);
        string weight = Inspection.Inspect(artifact).Tensors.MaxBy(t => t.StoredBytes)!.Name;
        for (int at = 1024; !IsDamaged(artifact, weight); at += 64)
        {
            byte[] damaged = [.. bytes];
            damaged[at] ^= 1;
            File.WriteAllBytes(artifact, damaged);
        }

        Assert.Throws<ModelPackException>(() => PackedModel.Open(artifact, new ModelSessionOptions { ResidentBytes = 1 }));
        Assert.Equal(2, Directory.GetFileSystemEntries(folder.Path).Length);
    }

    private static bool IsDamaged(string artifact, string weight)
    {
        try
        {
            return Verification.Verify(artifact).Errors.Any(e => e.Contains(weight, StringComparison.Ordinal));
        }
        catch (ModelPackException)
        {
            return false;
        }
    }
}
