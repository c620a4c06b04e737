using System.Text.Json.Nodes;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain.Exports;

/// <summary>Layouts of GPTQ and AWQ: the bytes that came in go out, what a plain reader takes out of them is what the artifact means, and what they do not have is refused.</summary>
public sealed class PackedIntegersExportTests
{
    private const string Up = "model.layers.0.mlp.up_proj";

    [Theory]
    [InlineData("GPTQ", "gptq", "gptq")]
    [InlineData("GPTQ asymmetric", "gptq", null)]
    [InlineData("AWQ", "awq", null)]
    public void Export_ofTheSameLayout_givesBackTheBytes(string scheme, string to, string? version)
    {
        using var folder = new QuantizedFolder(scheme);
        ExportResult result = Exporting.Export(folder.Path, to, folder["out"], new ExportOptions());
        JsonNode section = Config(folder["out"]);
        Assert.Equal(version ?? (string?)section["checkpoint_format"], (string?)section["checkpoint_format"]);
        bool second = (string?)section["checkpoint_format"] == "gptq_v2" && scheme.Contains("asymmetric", StringComparison.Ordinal);
        Assert.Equal(second, result.Warnings.Count > 0);
        var file = new PlainSafetensors(Path.Combine(folder["out"], "model.safetensors"));
        foreach ((string name, (string type, long[] shape, byte[] bytes)) in folder.Tensors)
        {
            Assert.Equal((type, string.Join(',', shape)), (file.Type(name), string.Join(',', file.Shape(name))));
            if (!second || !name.EndsWith("qzeros", StringComparison.Ordinal))
            {
                Assert.True(bytes.AsSpan().SequenceEqual(file.Bytes(name)), name);
            }
        }

        Assert.DoesNotContain(Checking.Check(folder["out"], "vllm").Findings, f => f.Severity == "error");
        Assert.Equal(section.ToJsonString(), JsonNode.Parse(File.ReadAllText(Path.Combine(folder["out"], to == "awq" ? "quant_config.json" : "quantize_config.json")))!.ToJsonString());
    }

    /// <summary>Value = (code - zero) · scale, taken out of the words bit by bit as the runtimes' reference code does.</summary>
    [Theory]
    [InlineData("int4(block=64,scale=f16,symmetric=false)", "gptq")]
    [InlineData("int3(block=64,scale=f16)", "gptq")]
    [InlineData("int2(block=32,scale=f16,symmetric=false)", "gptq")]
    [InlineData("int4(block=32,scale=f16,symmetric=false)", "awq")]
    public void Export_holdsTheValuesOfTheArtifact(string recipe, string to)
    {
        using var sample = new ExportCase();
        sample.Compile(recipe, "quantize.ends=keep");
        ExportResult result = sample.Export(to, "out");
        Assert.DoesNotContain(Checking.Check(sample["out"], "vllm").Findings, f => f.Severity == "error");
        var file = new PlainSafetensors(Path.Combine(sample["out"], "model.safetensors"));
        JsonNode section = Config(sample["out"]);
        int bits = (int)section["bits"]!;
        int group = (int)section["group_size"]!;
        int add = (string?)section["checkpoint_format"] == "gptq" ? 1 : 0;
        Assert.Equal(result.Warnings.Count > 0, (string?)section["checkpoint_format"] == "gptq_v2");
        uint[] codes = file.Words(Up + ".qweight");
        uint[] zeros = file.Words(Up + ".qzeros");
        float[] scales = file.Floats(Up + ".scales");
        const int outputs = 512;
        const int inputs = 256;
        float[] expected = sample.Dense.Floats(Up + ".weight");
        int Code(uint[] words, int bit) => (int)(((bit / 32) + 1 < words.Length ? ((ulong)words[(bit / 32) + 1] << 32 | words[bit / 32]) : words[bit / 32]) >> (bit % 32)) & ((1 << bits) - 1);
        int[] order = [0, 4, 1, 5, 2, 6, 3, 7];
        for (int n = 0; n < outputs; n++)
        {
            uint[] column = to == "awq" ? [] : [.. Enumerable.Range(0, inputs * bits / 32).Select(r => codes[(r * outputs) + n])];
            for (int k = 0; k < inputs; k++)
            {
                int g = group < 0 ? 0 : k / group;
                int code = to == "awq" ? (int)(codes[((k * outputs) + n) / 8] >> (4 * order[n % 8])) & 15 : Code(column, k * bits);
                int zero = to == "awq" ? (int)(zeros[((g * outputs) + n) / 8] >> (4 * order[n % 8])) & 15 : Code(zeros[(g * outputs * bits / 32)..((g + 1) * outputs * bits / 32)], n * bits) + add;
                Assert.Equal(expected[(n * inputs) + k], (code - zero) * scales[(g * outputs) + n]);
            }
        }

        // Our own reader gives the same codes and scales again.
        ModelCompiler.Compile(new CompileRequest { Input = sample["out"], Output = sample["back.mpack"], Recipe = "lossless" });
        Assert.All(Comparison.Compare(sample.Artifact, sample["back.mpack"]).Tensors, t => Assert.Equal(0, t.MaxAbsError));
        Exporting.Export(sample["back.mpack"], to, sample["again"], new ExportOptions());
        Assert.Equal(File.ReadAllBytes(Path.Combine(sample["out"], "model.safetensors")), File.ReadAllBytes(Path.Combine(sample["again"], "model.safetensors")));
    }

    [Fact]
    public void Export_throughOtherLayouts_comesBackToTheSameCodes()
    {
        using var sample = new ExportCase();
        sample.Compile("int4(scale=f16)", "quantize.ends=keep");
        sample.Export("gguf", "m.gguf");
        Exporting.Export(sample["m.gguf"], "gptq", sample["gptq"], new ExportOptions());
        Exporting.Export(sample["gptq"], "compressed-tensors", sample["ct"], new ExportOptions());
        Exporting.Export(sample["ct"], "gptq", sample["again"], new ExportOptions());
        var one = new PlainSafetensors(Path.Combine(sample["gptq"], "model.safetensors"));
        var two = new PlainSafetensors(Path.Combine(sample["again"], "model.safetensors"));
        Assert.All(one.Names.Where(n => n.Contains("_proj", StringComparison.Ordinal)), n => Assert.Equal(one.Bytes(n), two.Bytes(n)));
        ModelCompiler.Compile(new CompileRequest { Input = sample["again"], Output = sample["back.mpack"], Recipe = "lossless" });
        Assert.All(Comparison.Compare(sample.Artifact, sample["back.mpack"]).Tensors, t => Assert.Equal(0, t.MaxAbsError));
    }

    [Theory]
    [InlineData("gptq", "int5(scale=f16)", null, "2, 3, 4 or 8 bits, not 5")]
    [InlineData("awq", "int8(scale=f16)", null, "AWQ has 4 bits, not 8")]
    [InlineData("gptq", "int4(scale=f32)", null, "is not an f16 number")]
    [InlineData("gptq", "nf4", null, "no integers with integer zero points")]
    [InlineData("awq", "lossless", null, "nothing to write as AWQ")]
    [InlineData("gptq", "int4(scale=f16)", "same", "only matrices of linear layers but the last")]
    public void Export_ofWhatTheLayoutDoesNotHave_isRefused(string to, string recipe, string? ends, string why)
    {
        using var sample = new ExportCase();
        sample.Compile(recipe, recipe == "lossless" ? [] : [$"quantize.ends={ends ?? "keep"}"]);
        var error = Assert.Throws<ModelPackException>(() => sample.Export(to, "out"));
        Assert.Equal(ErrorCodes.ExportNotPossible, error.Code);
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(sample["out"]));
    }

    /// <summary>Layers that stay plain are named, in the words of each loader.</summary>
    [Theory]
    [InlineData("gptq")]
    [InlineData("awq")]
    public void Export_withPlainLayers_namesThem(string to)
    {
        using var sample = new ExportCase();
        sample.Compile("int4(block=128,scale=f16)", "quantize.ends=keep", "quantize.exclude=*down_proj*");
        sample.Export(to, "out");
        string named = to == "awq" ? Config(sample["out"])["modules_to_not_convert"]!.ToJsonString() : Config(sample["out"])["dynamic"]!.ToJsonString();
        Assert.Contains("down_proj", named, StringComparison.Ordinal);
        ModelCompiler.Compile(new CompileRequest { Input = sample["out"], Output = sample["back.mpack"], Recipe = "lossless" });
        Assert.All(Comparison.Compare(sample.Artifact, sample["back.mpack"]).Tensors, t => Assert.Equal(0, t.MaxAbsError));
    }

    private static JsonNode Config(string folder) => JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "config.json")))!["quantization_config"]!;
}
