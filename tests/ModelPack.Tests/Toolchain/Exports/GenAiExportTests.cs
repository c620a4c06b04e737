using System.Text.Json.Nodes;
using ModelPack.Architectures;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Tests.Architectures;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain.Exports;

/// <summary>Folders for ONNX Runtime GenAI: what it hands over, against the scalar decoder; and the lint of such folders.</summary>
public sealed class GenAiExportTests
{
    private const double Tolerance = 3e-5;

    /// <summary>A batch of two prompts, the second filled up in front or behind as GenAI does, then a token of both: every text must come out as if it were alone.</summary>
    [Theory]
    [InlineData("llama", true)]
    [InlineData("llama", false)]
    [InlineData("qwen2", false)]
    [InlineData("phi4-mini, part of heads turned", true)]
    [InlineData("gemma3", false)]
    [InlineData("mixtral", false)]
    public void Export_batchOfDifferentLengths_givesTheLogitsOfEachText(string name, bool inFront)
    {
        const int width = 6;
        const int shorter = 4;
        using var folder = new TempFolder();
        RandomCheckpoint checkpoint = FamilyCases.Make(name);
        long[] first = FamilyCases.Ids(width + 1, seed: 3);
        long[] second = FamilyCases.Ids(shorter + 1, seed: 4);
        Export(folder, checkpoint);
        using ModelSession session = ModelSession.Open(folder["genai/model.onnx"], new ModelSessionOptions { Threads = 1 });

        long[] fill = new long[width - shorter];
        long[] none = [.. fill.Select(_ => 1L)]; // Positions of what is filled up do not matter.
        long[] counted = [.. Enumerable.Range(0, shorter).Select(i => (long)i)];
        long[] seen = [.. counted.Select(_ => 1L)];
        long[] Row(long[] values, long[] filling) => inFront ? [.. filling, .. values] : [.. values, .. filling];
        IReadOnlyList<NamedTensor> prompt = session.Run(
        [
            NamedTensor.Of("input_ids", [.. first[..width], .. Row(second[..shorter], fill)], 2, width),
            NamedTensor.Of("attention_mask", [.. Enumerable.Repeat(1L, width), .. Row(seen, fill)], 2, width),
            NamedTensor.Of("position_ids", [.. Enumerable.Range(0, width).Select(i => (long)i), .. Row(counted, none)], 2, width),
            .. session.Inputs.Where(i => i.Name.StartsWith("past", StringComparison.Ordinal)).Select(i => NamedTensor.Of<float>(i.Name, [], 2, i.Dims[1].Size!.Value, 0, i.Dims[3].Size!.Value)),
        ]);
        IReadOnlyList<NamedTensor> next = session.Run(
        [
            NamedTensor.Of("input_ids", (long[])[first[width], second[shorter]], 2, 1),
            NamedTensor.Of("attention_mask", Mask(), 2, width + 1),
            NamedTensor.Of("position_ids", (long[])[width, shorter], 2, 1),
            .. session.Inputs.Where(i => i.Name.StartsWith("past", StringComparison.Ordinal)).Select(i => NamedTensor.OfBytes(
                i.Name, DType.F32, prompt.Single(o => o.Name == Present(i.Name)).Shape, prompt.Single(o => o.Name == Present(i.Name)).Bytes.ToArray())),
        ]);

        double[][] longText = new ScalarDecoder(checkpoint).Run(first);
        double[][] shortText = new ScalarDecoder(checkpoint).Run(second);
        int vocabulary = longText[0].Length;
        float[] logits = prompt.Single(o => o.Name == "logits").Values<float>().ToArray();
        Assert.True(FamilyTests.WorstError(logits.AsSpan(0, width * vocabulary), longText[..width]) < Tolerance);
        int start = (width + (inFront ? width - shorter : 0)) * vocabulary;
        Assert.True(FamilyTests.WorstError(logits.AsSpan(start, shorter * vocabulary), shortText[..shorter]) < Tolerance);
        Assert.True(FamilyTests.WorstError(next.Single(o => o.Name == "logits").Values<float>(), [longText[width], shortText[shorter]]) < Tolerance);

        long[] Mask() => [.. Enumerable.Repeat(1L, width + 1), .. Row(seen, fill), 1];
        static string Present(string past) => past.Replace("past_key_values", "present", StringComparison.Ordinal);
    }

    [Fact]
    public void Export_folder_isCompleteAndPassesTheCheck()
    {
        using var folder = new TempFolder();
        ExportResult result = Export(folder, FamilyCases.Make("gemma2"));
        JsonNode config = JsonNode.Parse(File.ReadAllText(folder["genai/genai_config.json"]))!;
        Assert.Equal(("gemma2", 61, 128), ((string)config["model"]!["type"]!, (int)config["model"]!["vocab_size"]!, (int)config["model"]!["context_length"]!));
        JsonNode decoder = config["model"]!["decoder"]!;
        Assert.Equal((12, 2, 4, 3), ((int)decoder["head_size"]!, (int)decoder["num_key_value_heads"]!, (int)decoder["num_attention_heads"]!, (int)decoder["num_hidden_layers"]!));
        Assert.Contains(result.Files, f => f.EndsWith("config.json", StringComparison.Ordinal));
        Assert.Contains("tokenizer_config.json", Assert.Single(result.Warnings), StringComparison.Ordinal);
        CheckResult check = Checking.Check(folder["genai"], "ort");
        Assert.True(check.Ok);
        Assert.All(check.Findings, f => Assert.Equal("tokenizer-missing", f.Rule));
    }

    [Theory]
    [InlineData("llama", GraphForm.Full, "--kv-cache")]
    [InlineData("llama", GraphForm.CachedInt8, "without scales")]
    [InlineData("deepseek v2", GraphForm.Cached, "latent attention")]
    public void Export_otherGraphs_isMP4116(string name, GraphForm form, string message)
    {
        using var folder = new TempFolder();
        var error = Assert.Throws<ModelPackException>(() => Export(folder, FamilyCases.Make(name), form));
        Assert.Equal(ErrorCodes.NoGenAiDecoder, error.Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(folder["genai/model.onnx"]));
    }

    [Fact]
    public void Export_fromAFolder_isMP4107()
    {
        using var folder = new TempFolder();
        string path = FamilyCases.Make("llama").Write(folder);
        Assert.Equal(ErrorCodes.ExportNotPossible, Assert.Throws<ModelPackException>(() => Exporting.Export(path, "genai", folder["genai"])).Code);
    }

    /// <summary>Defects put into a sound folder, one at a time; null takes a value out.</summary>
    [Theory]
    [InlineData("model.type", "\"lama\"", "genai-type-unknown")]
    [InlineData("model.type", null, "genai-type-unknown")]
    [InlineData("model.decoder", "7", "genai-config-invalid")]
    [InlineData("model.decoder.filename", "\"other.onnx\"", "genai-model-missing")]
    [InlineData("model.decoder.filename", "\"../genai/model.onnx\"", "genai-model-missing")]
    [InlineData("model.decoder.head_size", "9", "genai-size-mismatch")]
    [InlineData("model.decoder.num_key_value_heads", "6", "genai-size-mismatch")]
    [InlineData("model.decoder.num_hidden_layers", "4", "genai-name-missing")]
    [InlineData("model.decoder.num_hidden_layers", "2", "genai-input-unknown")]
    [InlineData("model.decoder.num_hidden_layers", "\"3\"", "genai-config-invalid")]
    [InlineData("model.decoder.num_hidden_layers", null, "genai-config-invalid")]
    [InlineData("model.decoder.inputs.past_key_names", "\"past.%d.key\"", "genai-name-missing")]
    [InlineData("model.decoder.inputs.input_ids", "\"ids\"", "genai-name-missing")]
    [InlineData("model.decoder.inputs.attention_mask", "\"mask\"", "genai-input-unknown")]
    [InlineData("model.decoder.outputs.present_value_names", "\"value.%d\"", "genai-name-missing")]
    [InlineData("model.decoder.outputs.logits", "\"scores\"", "genai-name-missing")]
    [InlineData("model.vocab_size", "60", "genai-size-mismatch")]
    [InlineData("model.eos_token_id", "61", "genai-token-range")]
    [InlineData("model.eos_token_id", null, "genai-token-range")]
    [InlineData("model.eos_token_id", "[2, -1]", "genai-token-range")]
    [InlineData("search.max_length", "129", "genai-length")]
    [InlineData("search.past_present_share_buffer", "true", "genai-shared-buffer")]
    public void Check_seededDefect_isFound(string key, string? value, string rule)
    {
        JsonObject root = JsonNode.Parse(File.ReadAllText(Sound.Value["genai/genai_config.json"]))!.AsObject();
        string[] parts = key.Split('.');
        JsonObject owner = parts[..^1].Aggregate(root, (o, p) => o[p]!.AsObject());
        owner.Remove(parts[^1]);
        if (value is not null)
        {
            owner[parts[^1]] = JsonNode.Parse(value);
        }

        using var folder = new TempFolder();
        foreach (string file in (string[])["model.onnx", "model.onnx.data"])
        {
            File.Copy(Sound.Value[$"genai/{file}"], folder[file]);
        }

        folder.Write("genai_config.json", root.ToJsonString());
        CheckResult check = Checking.Check(folder.Path, "ort");
        Assert.Contains(check.Findings, f => f.Rule == rule && f.Severity == "error");
        Assert.False(check.Ok);
    }

    [Theory]
    [InlineData(null, "wrong-kind")]
    [InlineData("{", "genai-config-invalid")]
    [InlineData("[]", "genai-config-invalid")]
    public void Check_folderWithoutAConfiguration_isFound(string? content, string rule)
    {
        using var folder = new TempFolder();
        if (content is not null)
        {
            folder.Write("genai_config.json", content);
        }

        Assert.Contains(Checking.Check(folder.Path, "ort").Findings, f => f.Rule == rule);
    }

    private static readonly Lazy<TempFolder> Sound = new(() =>
    {
        var folder = new TempFolder();
        Export(folder, FamilyCases.Make("llama"));
        Assert.True(Checking.Check(folder["genai"], "ort").Ok);
        return folder;
    });

    private static ExportResult Export(TempFolder folder, RandomCheckpoint checkpoint, GraphForm form = GraphForm.Cached)
    {
        ModelCompiler.Compile(new CompileRequest { Input = checkpoint.Write(folder), Output = folder["m.mpack"], Recipe = "lossless", Form = form });
        return Exporting.Export(folder["m.mpack"], "genai", folder["genai"]);
    }
}
