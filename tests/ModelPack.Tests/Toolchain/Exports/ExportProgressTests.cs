using ModelPack.Architectures;
using ModelPack.Testing;
using ModelPack.Tests.Architectures;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain.Exports;

/// <summary>Exports report every tensor as it is written.</summary>
public sealed class ExportProgressTests
{
    [Theory]
    [InlineData("safetensors", "gate_proj")]
    [InlineData("gguf", "ffn_gate")]
    [InlineData("compressed-tensors", "gate_proj")]
    [InlineData("gptq", "gate_proj")]
    public void Checkpoint_formats_report_bytes_of_each_tensor(string to, string one)
    {
        using var export = new ExportCase();
        export.Compile(to == "compressed-tensors" ? "int4(scale=bf16)" : "int4(scale=f16)", "quantize.ends=keep");
        var seen = new Seen();

        ExportResult result = Exporting.Export(export.Artifact, to, export["out"], new ExportOptions { Others = DType.BF16 }, seen);

        seen.AssertWhole(one);
        long written = result.Files.Where(f => !f.EndsWith(".json", StringComparison.Ordinal)).Sum(f => new FileInfo(f).Length);
        Assert.InRange(seen.Reports[^1].Total, written * 0.9, written);
    }

    [Theory]
    [InlineData(ExportForm.Stock)]
    [InlineData(ExportForm.Dense)]
    [InlineData(ExportForm.Packed)]
    public void Onnx_reports_bytes_of_each_tensor(ExportForm form)
    {
        using var folder = new TempFolder();
        (_, string artifact) = CompileTests.Compile(folder, "language", "int4");
        var seen = new Seen();

        Exporting.Export(artifact, "onnx", folder["x.onnx"], form, seen);

        seen.AssertWhole(null);
    }

    [Fact]
    public void GenAi_reports_bytes_of_each_tensor()
    {
        using var folder = new TempFolder();
        ModelCompiler.Compile(new CompileRequest { Input = FamilyCases.Make("llama").Write(folder), Output = folder["m.mpack"], Recipe = "lossless", Form = GraphForm.Cached });
        var seen = new Seen();

        Exporting.Export(folder["m.mpack"], "genai", folder["genai"], new ExportOptions(), seen);

        seen.AssertWhole(null);
    }

    private sealed class Seen : IProgress<ToolProgress>
    {
        public List<ToolProgress> Reports { get; } = [];

        public void Report(ToolProgress value) => Reports.Add(value);

        public void AssertWhole(string? one)
        {
            Assert.All(Reports, r => Assert.Equal("export", r.Activity));
            ToolProgress[] tensors = [.. Reports.Where(r => r.Total > 0)];
            Assert.True(tensors.Select(r => r.Item).Distinct().Count() > 1);
            Assert.Single(tensors.Select(r => r.Total).Distinct());
            Assert.Equal(tensors.Select(r => r.Done).Order(), tensors.Select(r => r.Done));
            Assert.Equal(tensors[^1].Total, tensors[^1].Done);
            Assert.InRange(tensors[0].Done, 1, tensors[^1].Total - 1);
            if (one is not null)
            {
                Assert.Contains(tensors, r => r.Item!.Contains(one, StringComparison.Ordinal));
            }
        }
    }
}
