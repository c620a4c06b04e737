using System.Buffers.Binary;
using ModelPack.Pack;
using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Pass sparsify with calibration data: layers in order, shares of a budget, and the gate.</summary>
public sealed class SparsifyCompileTests : IDisposable
{
    private const string Passes = """["canonicalize","fold-constants","sparsify","detect-sparsity"]""";

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("uniform")]
    [InlineData("sensitivity")]
    public void Compile_drops_the_share_of_all_layers_and_repeats_itself(string allocation)
    {
        CompileResult one = Compile("a.mpack", 1, "structure=unstructured", "sparsity_percent=50", "min_vectors=1", "min_elements=64", $"allocation={allocation}", "ends=prune");
        CompileResult two = Compile("b.mpack", 3, "structure=unstructured", "sparsity_percent=50", "min_vectors=1", "min_elements=64", $"allocation={allocation}", "ends=prune");

        Assert.Equal(File.ReadAllBytes(one.Output), File.ReadAllBytes(two.Output));
        (long zeros, long all) = Zeros(one.Output);
        Assert.InRange((double)zeros / all, 0.47, 0.53);
        Assert.Contains(one.Warnings, w => w.Contains("'mix'", StringComparison.Ordinal) && w.Contains("not one value", StringComparison.Ordinal));
    }

    [Fact]
    public void Gate_keeps_the_last_step_that_loses_no_more()
    {
        string[] sets = ["structure=unstructured", "sparsity_percent=95", "min_vectors=1", "min_elements=64", "ends=prune", "allocation=uniform"];
        (long none, long all) = Zeros(Compile("open.mpack", 0, [.. sets]).Output);
        CompileResult gated = Compile("gated.mpack", 0, [.. sets, "max_loss_permille=20"]);
        (long some, _) = Zeros(gated.Output);

        Assert.InRange((double)none / all, 0.9, 1);
        Assert.InRange(some, 0, none - 1);
        Assert.Contains(gated.Warnings, w => w.Contains("more than 'max_loss_permille' allows", StringComparison.Ordinal));
    }

    private CompileResult Compile(string output, int threads, params string[] sets)
    {
        string model = _folder.Write("m.onnx", NetworkModel.Language());
        byte[] tokens = new byte[2 * 8 * 64];
        var random = new SplitMix(4);
        for (int i = 0; i < tokens.Length; i += 2)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(tokens.AsSpan(i), (ushort)random.Below(64));
        }

        return ModelCompiler.Compile(new CompileRequest
        {
            Input = model,
            Output = _folder[output],
            Recipe = _folder.Write("r.json", $$"""{ "name": "r", "passes": {{Passes}} }"""),
            Sets = [.. sets.Select(s => $"sparsify.{s}")],
            Calibration = _folder.Write("c.tokens.bin", tokens),
            CalibrationOptions = new CalibrationOptions { Window = 8, NoCache = true },
            Threads = threads,
        });
    }

    /// <summary>Zeros and all values of the matrices that are multiplied with one input; <c>mix</c> has two.</summary>
    private static (long Zeros, long All) Zeros(string path)
    {
        using PackReader reader = PackReader.Open(path);
        long zeros = 0;
        long all = 0;
        foreach (PackTensor tensor in reader.Tensors.Where(t => t.Shape.Rank == 2 && t.Name is "up" or "head"))
        {
            float[] values = new float[tensor.Shape.ElementCount];
            EncodingValues.Open(tensor.Encoding).ReadRows(0, (int)tensor.Shape.Rows, values);
            zeros += values.Count(v => v == 0);
            all += values.Length;
        }

        return (zeros, all);
    }
}
