using System.Text.Json.Nodes;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain.Exports;

/// <summary>Checkpoints of compressed-tensors, read again from the published layout alone.</summary>
public sealed class CompressedTensorsExportTests
{
    private const string Up = "model.layers.0.mlp.up_proj";

    /// <summary>Keys that loaders know; others are errors there.</summary>
    private static readonly HashSet<string> GroupKeys = ["targets", "weights", "input_activations", "output_activations", "format"];
    private static readonly HashSet<string> ArgumentKeys = ["num_bits", "type", "symmetric", "group_size", "strategy", "block_structure", "dynamic", "actorder", "observer", "observer_kwargs", "scale_dtype", "zp_dtype"];

    [Theory]
    [InlineData("int4(block=128,scale=bf16)", "pack-quantized", "int 4 group 128 true", null)]
    [InlineData("int8(block=64,scale=bf16)", "pack-quantized", "int 8 group 64 true", null)]
    [InlineData("int4(block=row,scale=bf16)", "pack-quantized", "int 4 channel  true", null)]
    [InlineData("int4(block=32,scale=bf16,symmetric=false)", "pack-quantized", "int 4 group 32 false", null)]
    [InlineData("int8(block=row,scale=bf16,symmetric=false)", "pack-quantized", "int 8 channel  false", null)]
    [InlineData("fp8", "float-quantized", "float 8 channel  true", "float 8 token  true")]
    [InlineData("fp8(scope=tensor)", "float-quantized", "float 8 tensor  true", "float 8 token  true")]
    [InlineData("fp8(scope=tile)", "float-quantized", "float 8 block  true", "float 8 group 128 true")]
    [InlineData("nvfp4", "nvfp4-pack-quantized", "float 4 tensor_group 16 true", null)]
    [InlineData("mxfp4(mode=even)", "mxfp4-pack-quantized", "float 4 group 32 true", null)]
    [InlineData("mxfp8", "mxfp8-quantized", "float 8 group 32 true", null)]
    public void Export_holdsTheValuesOfTheArtifact(string recipe, string format, string weights, string? activations)
    {
        using var sample = new ExportCase();
        sample.Compile(recipe, "quantize.ends=keep", "quantize.share_scales=true");
        ExportResult result = sample.Export("compressed-tensors", "ct");
        var file = new PlainSafetensors(Path.Combine(sample["ct"], "model.safetensors"));
        JsonObject config = Config(sample);
        Assert.Equal("compressed-tensors", (string?)config["quant_method"]);
        Assert.Equal(format, (string?)config["format"]);
        Assert.Equal("""["lm_head"]""", config["ignore"]!.ToJsonString());
        Assert.Equal("{}", config["sparsity_config"]!.ToJsonString());
        JsonObject group = (JsonObject)Assert.Single((JsonObject)config["config_groups"]!).Value!;
        Assert.Equal("""["Linear"]""", group["targets"]!.ToJsonString());
        Assert.Equal(weights, Describe(group["weights"]!));
        Assert.Equal(activations, group["input_activations"] is JsonNode acts ? Describe(acts) : null);
        Assert.Equal(activations is not null, (bool?)group["input_activations"]?["dynamic"] ?? false);
        CheckKeys(config);
        foreach (string module in sample.Checkpoint.Tensors.Keys.Where(n => n.Contains("_proj", StringComparison.Ordinal)).Select(n => n[..^7]))
        {
            float[] expected = sample.Dense.Floats(module + ".weight");
            float[] values = Dequantized(file, module, sample.Dense.Shape(module + ".weight"), format, (JsonObject)group["weights"]!);

            // A reciprocal of a reciprocal: an ulp or two, where a warning says so.
            float tolerance = format.StartsWith("nvfp4", StringComparison.Ordinal) ? 2.4e-7f : 0;
            Assert.True(tolerance > 0 || result.Warnings.Count == 0);
            Assert.All(expected.Zip(values), pair => Assert.InRange(pair.Second - pair.First, -Math.Abs(pair.First) * tolerance, Math.Abs(pair.First) * tolerance));
        }

        foreach (string kept in new[] { "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight" })
        {
            Assert.Equal("BF16", file.Type(kept));
            Assert.Equal(sample.Dense.Floats(kept), file.Floats(kept));
        }
    }

    [Fact]
    public void Export_int8Rows_withRoundedActivations_isW8A8()
    {
        using var sample = new ExportCase();
        sample.Compile("int8(block=row,scale=bf16)", "quantize.ends=keep");
        sample.Export("compressed-tensors", "ct", round: true);
        var file = new PlainSafetensors(Path.Combine(sample["ct"], "model.safetensors"));
        JsonObject config = Config(sample);
        Assert.Equal("int-quantized", (string?)config["format"]);
        Assert.Equal("int 8 token  true", Describe(config["config_groups"]!["group_0"]!["input_activations"]!));
        Assert.Equal("I8", file.Type(Up + ".weight"));
        Assert.DoesNotContain(file.Names, n => n.Contains("zero_point", StringComparison.Ordinal) || n.Contains("packed", StringComparison.Ordinal));
        float[] scales = file.Floats(Up + ".weight_scale");
        Assert.Equal([512, 1], file.Shape(Up + ".weight_scale"));
        byte[] codes = file.Bytes(Up + ".weight");
        Assert.Equal(sample.Dense.Floats(Up + ".weight"), codes.Select((c, i) => (sbyte)c * scales[i / 256]));
    }

    [Fact]
    public void Export_withoutRoundedActivations_isNaive()
    {
        using var sample = new ExportCase();
        sample.Compile("fp8", "quantize.ends=keep");
        sample.Export("compressed-tensors", "ct", round: false);
        Assert.Equal("naive-quantized", (string?)Config(sample)["format"]);
        Assert.Null(Config(sample)["config_groups"]!["group_0"]!["input_activations"]);
    }

    /// <summary>Layers keep the constant scales that the graph rounds with; layers that read floats have no arguments of activations.</summary>
    [Fact]
    public void Export_staticActivations_haveTheScalesOfTheGraph()
    {
        using var sample = new ExportCase();
        string path = sample.Checkpoint.Write(sample.Folder);
        File.WriteAllText(sample["recipe.json"], """{"name":"static","passes":["canonicalize","fold-constants",{"pass":"quantize-inputs","scales":"static","exclude":["*down_proj*"]},{"pass":"quantize","format":"fp8","ends":"keep"}]}""");
        File.WriteAllBytes(sample["t.bin"], [.. Enumerable.Range(0, 512).SelectMany(i => BitConverter.GetBytes((ushort)(i * 7 % ExportCase.Vocabulary)))]);
        ModelCompiler.Compile(new CompileRequest { Input = path, Output = sample.Artifact, Recipe = sample["recipe.json"], Calibration = sample["t.bin"] });
        ExportResult result = sample.Export("compressed-tensors", "ct");
        Assert.Empty(result.Warnings);
        var file = new PlainSafetensors(Path.Combine(sample["ct"], "model.safetensors"));
        JsonObject config = Config(sample);
        CheckKeys(config);
        Assert.Equal("mixed-precision", (string?)config["format"]);
        JsonNode rounded = config["config_groups"]!.AsObject().Single(g => g.Value!["input_activations"] is not null).Value!;
        Assert.Equal("float 8 tensor  true", Describe(rounded["input_activations"]!));
        Assert.False((bool)rounded["input_activations"]!["dynamic"]!);
        string[] modules = [.. rounded["targets"]!.AsArray().Select(t => (string)t!)];
        Assert.Contains(Up, modules);
        Assert.DoesNotContain("model.layers.0.mlp.down_proj", modules);
        Assert.Equal(modules.Select(m => m + ".input_scale").Order(StringComparer.Ordinal), file.Names.Where(n => n.EndsWith("input_scale", StringComparison.Ordinal)).Order(StringComparer.Ordinal));
        Assert.All(modules, m => Assert.InRange(Assert.Single(file.Floats(m + ".input_scale")), 1e-6f, 1f));
        Assert.Equal(file.Floats("model.layers.0.mlp.gate_proj.input_scale"), file.Floats(Up + ".input_scale"));
        Assert.NotEqual(file.Floats("model.layers.0.self_attn.o_proj.input_scale"), file.Floats(Up + ".input_scale"));
        Assert.DoesNotContain(Checking.Check(sample["ct"], "vllm").Findings, f => f.Severity == "error");

        // The folder is what it says: out again with the same scales.
        Exporting.Export(sample["ct"], "compressed-tensors", sample["again"], new ExportOptions());
        var again = new PlainSafetensors(Path.Combine(sample["again"], "model.safetensors"));
        Assert.Equal(file.Names, again.Names);
        Assert.All(file.Names, n => Assert.Equal(file.Bytes(n), again.Bytes(n)));
    }

    [Fact]
    public void Export_twoSchemes_areMixedPrecision_withNamesAsTargets()
    {
        using var sample = new ExportCase();
        sample.Compile(Recipe(sample, """{"match":"*mlp*","quantize":{"format":"int8(block=64,scale=bf16)"}}"""));
        sample.Export("compressed-tensors", "ct");
        JsonObject config = Config(sample);
        Assert.Equal("pack-quantized", (string?)config["format"]);
        Assert.Equal(2, config["config_groups"]!.AsObject().Count);
        Assert.Contains(config["config_groups"]!.AsObject(), g => g.Value!["targets"]!.ToJsonString() == """["model.layers.0.mlp.down_proj","model.layers.0.mlp.gate_proj","model.layers.0.mlp.up_proj"]""");
        CheckKeys(config);

        sample.Compile(Recipe(sample, """{"match":"*mlp*","quantize":{"format":"fp8"}}"""));
        Directory.Delete(sample["ct"], recursive: true);
        sample.Export("compressed-tensors", "ct");
        config = Config(sample);
        Assert.Equal("mixed-precision", (string?)config["format"]);
        Assert.Equal(["float-quantized", "pack-quantized"], config["config_groups"]!.AsObject().Select(g => (string)g.Value!["format"]!).Order(StringComparer.Ordinal));
        CheckKeys(config);
    }

    [Theory]
    [InlineData("""{"match":"*q_proj*","quantize":{"format":"int8(block=64,scale=bf16)"}}""", "is quantised differently than 'model.layers.0.self_attn.")]
    [InlineData("""{"match":"*up_proj*","skip":true}""", "is quantised differently than 'model.layers.0.mlp.")]
    public void Export_fusedLayersThatDiffer_areMP4107(string rule, string message)
    {
        using var sample = new ExportCase();
        sample.Compile(Recipe(sample, rule));
        Refused(sample, message);
    }

    [Theory]
    [InlineData("nvfp4", "has another scale of the whole tensor than")]
    [InlineData("int4(block=128,scale=f32)", "is not a bf16 number, as loaders would make it; compile with int4(scale=bf16)")]
    [InlineData("int4(block=48,scale=bf16)", " are no whole blocks of 48")]
    [InlineData("nf4", "'nf4(block=64,nested=false)' has no counterpart in compressed-tensors")]
    [InlineData("lossless", "no weight of a linear layer is quantised")]
    public void Export_encodingWithoutCounterpart_isMP4107(string recipe, string message)
    {
        using var sample = new ExportCase();
        sample.Compile(recipe, recipe == "lossless" ? [] : ["quantize.ends=keep"]);
        Refused(sample, message);
    }

    [Fact]
    public void Export_quantisedEnds_areMP4107_orPlainNumbers()
    {
        using var sample = new ExportCase();
        sample.Compile("int4(block=128,scale=bf16)");
        Refused(sample, "'quantize.ends=keep' keeps embeddings and output layers");
        sample.Export("compressed-tensors", "ct", others: DType.F32);
        var file = new PlainSafetensors(Path.Combine(sample["ct"], "model.safetensors"));
        Assert.Equal(sample.Dense.Floats("model.embed_tokens.weight"), file.Floats("model.embed_tokens.weight"));
        Assert.Equal("""["lm_head"]""", Config(sample)["ignore"]!.ToJsonString());
    }

    [Fact]
    public void Export_fp8_byName_needsTiles()
    {
        using var sample = new ExportCase();
        sample.Compile("fp8(scope=tile)", "quantize.ends=keep");
        sample.Export("fp8", "blocks");
        var file = new PlainSafetensors(Path.Combine(sample["blocks"], "model.safetensors"));
        float[] scales = file.Floats(Up + ".weight_scale_inv");
        Assert.Equal(sample.Dense.Floats(Up + ".weight"), file.Floats(Up + ".weight").Select((v, i) => v * scales[(i / 256 / 128 * 2) + (i % 256 / 128)]));
        Assert.Equal("fp8", (string?)JsonNode.Parse(File.ReadAllText(Path.Combine(sample["blocks"], "config.json")))!["quantization_config"]!["quant_method"]);

        sample.Compile("fp8", "quantize.ends=keep");
        var error = Assert.Throws<ModelPackException>(() => sample.Export("fp8", "rows"));
        Assert.Equal(ErrorCodes.ExportNotPossible, error.Code);
    }

    private static void Refused(ExportCase sample, string message)
    {
        var error = Assert.Throws<ModelPackException>(() => sample.Export("compressed-tensors", "ct"));
        Assert.Equal(ErrorCodes.ExportNotPossible, error.Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(sample["ct"]));
    }

    private static string Recipe(ExportCase sample, string rule)
    {
        string path = sample["recipe.json"];
        File.WriteAllText(path, $$"""{"name":"mixed","passes":["canonicalize",{"pass":"quantize","format":"int4(block=128,scale=bf16)","ends":"keep"}],"rules":[{{rule}}]}""");
        return path;
    }

    private static JsonObject Config(ExportCase sample) => (JsonObject)JsonNode.Parse(File.ReadAllText(Path.Combine(sample["ct"], "config.json")))!["quantization_config"]!;

    private static string Describe(JsonNode arguments) => $"{arguments["type"]} {arguments["num_bits"]} {arguments["strategy"]} {arguments["group_size"]} {arguments["symmetric"]}";

    private static void CheckKeys(JsonObject config)
    {
        foreach ((_, JsonNode? group) in config["config_groups"]!.AsObject())
        {
            Assert.All(group!.AsObject(), k => Assert.Contains(k.Key, GroupKeys));
            foreach (string part in new[] { "weights", "input_activations" })
            {
                if (group[part] is JsonObject arguments)
                {
                    Assert.All(arguments, k => Assert.Contains(k.Key, ArgumentKeys));
                }
            }
        }
    }

    /// <summary>The values of a layer by the formulas of compressed-tensors, element by element.</summary>
    private static float[] Dequantized(PlainSafetensors file, string module, long[] shape, string format, JsonObject weights)
    {
        (int rows, int columns) = ((int)shape[0], (int)shape[1]);
        string strategy = (string)weights["strategy"]!;
        int group = (int?)weights["group_size"] ?? columns;
        float[] values = new float[rows * columns];
        if (format == "pack-quantized")
        {
            int bits = (int)weights["num_bits"]!;
            uint[] packed = file.Words(module + ".weight_packed");
            float[] scales = file.Floats(module + ".weight_scale");
            Assert.Equal("BF16", file.Type(module + ".weight_scale"));
            Assert.Equal([rows, columns / group], file.Shape(module + ".weight_scale"));
            Assert.Equal([rows, columns * bits / 32], file.Shape(module + ".weight_packed"));
            Assert.Equal([(uint)rows, 0u, (uint)columns, 0u], file.Words(module + ".weight_shape"));
            bool symmetric = (bool)weights["symmetric"]!;
            Assert.Equal(!symmetric, file.Names.Contains(module + ".weight_zero_point"));
            uint[] zeros = symmetric ? [] : file.Words(module + ".weight_zero_point");
            int groups = columns / group;
            int each = 32 / bits;
            for (int r = 0; r < rows; r++)
            {
                for (int k = 0; k < columns; k++)
                {
                    int code = (int)((packed[(r * (columns / each)) + (k / each)] >> (bits * (k % each))) & ((1u << bits) - 1)) - (1 << (bits - 1));
                    int zero = symmetric ? 0 : (int)((zeros[(r / each * groups) + (k / group)] >> (bits * (r % each))) & ((1u << bits) - 1)) - (1 << (bits - 1));
                    values[(r * columns) + k] = (code - zero) * scales[(r * groups) + (k / group)];
                }
            }

            return values;
        }

        float[]? codes = file.Names.Contains(module + ".weight") ? file.Floats(module + ".weight") : null;
        byte[]? nibbles = codes is null ? file.Bytes(module + ".weight_packed") : null;
        byte[] raw = file.Bytes(module + ".weight_scale");
        for (int i = 0; i < values.Length; i++)
        {
            (int r, int k) = (i / columns, i % columns);
            float code = codes?[i] ?? PlainSafetensors.E2M1((nibbles![i / 2] >> (i % 2 * 4)) & 15);
            float Scale(int at) => BitConverter.ToSingle(raw, at * 4);
            values[i] = format switch
            {
                "nvfp4-pack-quantized" => code * PlainSafetensors.E4M3(raw[(r * (columns / 16)) + (k / 16)]) / BitConverter.ToSingle(file.Bytes(module + ".weight_global_scale")),
                "mxfp4-pack-quantized" or "mxfp8-quantized" => code * MathF.Pow(2, raw[(r * (columns / 32)) + (k / 32)] - 127),
                _ => code * strategy switch { "tensor" => Scale(0), "channel" => Scale(r), _ => Scale((r / 128 * (columns / 128)) + (k / 128)) },
            };
        }

        return values;
    }
}
