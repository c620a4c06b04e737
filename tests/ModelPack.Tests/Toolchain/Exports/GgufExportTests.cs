using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Toolchain.Exports;

/// <summary>GGUF files, read again by a second reader: the values of the artifact, bit for bit, under llama.cpp's names.</summary>
public sealed class GgufExportTests
{
    private static readonly (string Hf, string Gguf)[] Linears =
    [
        ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"),
    ];

    [Theory]
    [InlineData("lossless", 30, 32, null)]
    [InlineData("gguf-q8_0", 8, 7, null)]
    [InlineData("gguf-q4_0", 2, 2, "quantize.ends=keep")]
    [InlineData("gguf-q4_1", 3, 3, "quantize.ends=keep")]
    [InlineData("gguf-q5_0", 6, 8, "quantize.ends=keep")]
    [InlineData("gguf-q6_k", 14, 18, "quantize.ends=keep")]
    [InlineData("gguf-tq1_0", 34, 36, "quantize.ends=keep;quantize.allow_ternary=true")]
    [InlineData("gguf-tq2_0", 35, 37, "quantize.ends=keep;quantize.allow_ternary=true")]
    [InlineData("gguf-mxfp4", 39, 38, "quantize.ends=keep")]
    [InlineData("mxfp4", 39, 38, "quantize.ends=keep")]
    [InlineData("nvfp4", 40, 39, "quantize.ends=keep")]
    [InlineData("int8(scale=f16)", 8, 7, null)]
    [InlineData("int8(block=row,scale=f16)", 8, 7, "quantize.ends=keep")]
    [InlineData("int5(scale=f16)", 6, 8, "quantize.ends=keep")]
    [InlineData("int4(block=128,scale=f16)", 2, 2, "quantize.ends=keep")]
    public void Export_holdsTheValuesOfTheArtifact(string recipe, int type, int fileType, string? sets)
    {
        using var sample = new ExportCase();
        sample.Compile(recipe, sets?.Split(';') ?? []);
        sample.Export("gguf", "m.gguf");
        var file = new PlainGguf(sample["m.gguf"]);
        Assert.Equal((uint)fileType, file.Metadata["general.file_type"]);
        foreach ((string hf, string gguf) in Linears)
        {
            string name = $"blk.0.{gguf}.weight";
            Assert.Equal((uint)type, file.Type(name));
            float factor = file.Names.Contains($"blk.0.{gguf}.scale") ? file.Values($"blk.0.{gguf}.scale")[0] : 1;
            float[] expected = sample.Dense.Floats($"model.layers.0.{hf}.weight");
            float[] values = [.. file.Values(name).Select(v => v * factor)];
            int columns = (int)file.Shape(name)[1];
            for (int row = 0; row < file.Shape(name)[0]; row++)
            {
                Assert.Equal(expected.AsSpan(Source(gguf, row) * columns, columns).ToArray(), values.AsSpan(row * columns, columns).ToArray());
            }
        }

        Assert.Equal(sample.Dense.Floats("model.norm.weight"), file.Values("output_norm.weight"));
        Assert.Equal(0u, file.Type("output_norm.weight"));
        Assert.Equal(sample.Dense.Floats("model.embed_tokens.weight"), file.Values("token_embd.weight"));
        Assert.Equal(sample.Checkpoint.Tensors.Count, file.Names.Count(n => !n.EndsWith(".scale", StringComparison.Ordinal)));
    }

    [Fact]
    public void Export_describesTheModelAndItsTokenizer()
    {
        using var sample = new ExportCase();
        sample.Compile("gguf-q8_0");
        sample.Export("gguf", "m.gguf");
        Dictionary<string, object> metadata = new PlainGguf(sample["m.gguf"]).Metadata;
        string Show(string key) => metadata[key] is object[] items ? string.Join(' ', items.Take(13)) : Convert.ToString(metadata[key], CultureInfo.InvariantCulture)!;
        foreach ((string key, string value) in new[]
        {
            ("general.architecture", "llama"), ("general.quantization_version", "2"), ("llama.context_length", "64"), ("llama.embedding_length", "256"), ("llama.block_count", "1"),
            ("llama.feed_forward_length", "512"), ("llama.attention.head_count", "4"), ("llama.attention.head_count_kv", "2"), ("llama.attention.layer_norm_rms_epsilon", "1E-05"),
            ("llama.rope.dimension_count", "64"), ("llama.rope.freq_base", "10000"), ("llama.vocab_size", "40"), ("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", "gpt-2"),
            ("tokenizer.ggml.tokens", "a <s> </s> b c ab abc Ġ Ġa d e <x> [PAD12]"), ("tokenizer.ggml.token_type", "1 3 3 1 1 1 1 1 1 1 1 4 5"), ("tokenizer.ggml.merges", "a b ab c Ġ a"),
            ("tokenizer.ggml.bos_token_id", "1"), ("tokenizer.ggml.eos_token_id", "2"), ("tokenizer.ggml.add_bos_token", "False"),
        })
        {
            Assert.Equal((key, value), (key, Show(key)));
        }

        Assert.Equal(ExportCase.Vocabulary, ((object[])metadata["tokenizer.ggml.tokens"]).Length);
    }

    [Fact]
    public void Export_vocabularyOfPieces_hasBytesAndScores()
    {
        const string pieces = """
            {"added_tokens":[{"id":1,"content":"<s>","special":true},{"id":2,"content":"</s>","special":true},{"id":0,"content":"<unk>","special":true}],
             "normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},
             "post_processor":{"type":"TemplateProcessing"},
             "model":{"type":"BPE","byte_fallback":true,"unk_token":"<unk>","vocab":{"<unk>":0,"<s>":1,"</s>":2,"<0x0A>":3,"▁":4,"a":5,"b":6,"ab":7,"▁ab":8},"merges":[["a","b"],["▁","ab"]]}}
            """;
        using var sample = new ExportCase(tokenizer: pieces);
        sample.Compile("gguf-q8_0");
        sample.Export("gguf", "m.gguf");
        Dictionary<string, object> metadata = new PlainGguf(sample["m.gguf"]).Metadata;
        Assert.Equal("llama", metadata["tokenizer.ggml.model"]);
        Assert.Equal([2, 3, 3, 6, 1, 1, 1, 1, 1, 5], ((object[])metadata["tokenizer.ggml.token_type"]).Take(10).Cast<int>());
        Assert.Equal([0f, 0, 0, 0, -2, -2, -2, 0, -1], ((object[])metadata["tokenizer.ggml.scores"]).Take(9).Cast<float>());
        Assert.Equal(true, metadata["tokenizer.ggml.add_space_prefix"]);
        Assert.Equal(true, metadata["tokenizer.ggml.add_bos_token"]);
    }

    [Fact]
    public void Export_llama3Scaling_isATensorOfFactors()
    {
        using var sample = new ExportCase(change: c => c.Config["rope_scaling"] = JsonNode.Parse("""{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":64}"""));
        sample.Compile("lossless");
        sample.Export("gguf", "m.gguf");
        float[] factors = new PlainGguf(sample["m.gguf"]).Values("rope_freqs.weight");
        Assert.Equal(ExportCase.HeadDim / 2, factors.Length);
        for (int i = 0; i < factors.Length; i++)
        {
            double wavelength = 2 * Math.PI * Math.Pow(10000, 2.0 * i / ExportCase.HeadDim);
            double share = ((64 / wavelength) - 1) / 3;
            double expected = wavelength < 16 ? 1 : wavelength > 64 ? 8 : 1 / (((1 - share) / 8) + share);
            Assert.Equal(expected, factors[i], 1e-5);
        }

        Assert.Contains(factors, f => f is > 1 and < 8);
    }

    [Fact]
    public void Export_qwen2_keepsRowsAndHasBiases()
    {
        using var sample = new ExportCase("Qwen2ForCausalLM", c =>
        {
            c.Add("model.layers.0.self_attn.q_proj.bias", 0.1, 0, 256);
            c.Add("model.layers.0.self_attn.k_proj.bias", 0.1, 0, 128);
            c.Add("model.layers.0.self_attn.v_proj.bias", 0.1, 0, 128);
            c.Config["tie_word_embeddings"] = true;
            c.Tensors.Remove("lm_head.weight");
        });
        sample.Compile("gguf-q8_0");
        sample.Export("gguf", "m.gguf");
        var file = new PlainGguf(sample["m.gguf"]);
        Assert.Equal("qwen2", file.Metadata["general.architecture"]);
        Assert.Equal(sample.Dense.Floats("model.layers.0.self_attn.q_proj.weight"), file.Values("blk.0.attn_q.weight"));
        Assert.Equal(sample.Dense.Floats("model.layers.0.self_attn.k_proj.bias"), file.Values("blk.0.attn_k.bias"));
        Assert.DoesNotContain("output.weight", file.Names);
    }

    [Fact]
    public void Export_asymmetricInt4WithMinimaOfF16_isQ4_1()
    {
        // Fifteen steps of a power of two from -4 to 11 of them: zero 4, scale 1/64.
        using var sample = new ExportCase(change: c =>
        {
            foreach (string name in c.Tensors.Keys.Where(n => n.Contains("_proj", StringComparison.Ordinal)).ToArray())
            {
                (long[] shape, float[] values) = c.Tensors[name];
                c.Tensors[name] = (shape, [.. values.Select((_, i) => ((((i * 7) + name[15..].Sum(c => c)) % 16) - 4) / 64f)]);
            }
        });
        sample.Compile("int4(symmetric=false,scale=f16)", "quantize.ends=keep");
        sample.Export("gguf", "m.gguf");
        var file = new PlainGguf(sample["m.gguf"]);
        Assert.Equal(3u, file.Type("blk.0.ffn_up.weight"));
        Assert.Equal(sample.Dense.Floats("model.layers.0.mlp.up_proj.weight"), file.Values("blk.0.ffn_up.weight"));
    }

    [Theory]
    [InlineData("int4(scale=f32)", "quantize.ends=keep", "is not an f16 number, as q4_0 needs; compile with int4(block=32,scale=f16); --others f16")]
    [InlineData("int4(symmetric=false,scale=f16)", "quantize.ends=keep", "minimum ")]
    [InlineData("int4(block=48,scale=f16)", "quantize.ends=keep", "blocks of 48 values are no whole blocks of 32 (q4_0)")]
    [InlineData("nf4", "quantize.ends=keep", "'nf4(block=64,nested=false)' has no counterpart among GGUF's types")]
    public void Export_encodingWithoutCounterpart_isMP4107(string recipe, string set, string message)
    {
        using var sample = new ExportCase();
        sample.Compile(recipe, set);
        var error = Assert.Throws<ModelPackException>(() => sample.Export("gguf", "m.gguf"));
        Assert.Equal(ErrorCodes.ExportNotPossible, error.Code);
        Assert.NotNull(error.Tensor);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(sample["m.gguf"]));

        sample.Export("gguf", "m.gguf", others: DType.F32);
        var file = new PlainGguf(sample["m.gguf"]);
        Assert.Equal(0u, file.Type("blk.0.ffn_up.weight"));
        Assert.Equal(sample.Dense.Floats("model.layers.0.mlp.up_proj.weight"), file.Values("blk.0.ffn_up.weight"));
    }

    [Theory]
    [InlineData("""["model"]["vocab"]["zz"]=99""", "token 99 ('zz'), which is beyond the 40 of config.json")]
    [InlineData("""["model"]["type"]=WordPiece""", "a model of type 'WordPiece'")]
    [InlineData("""["pre_tokenizer"]["type"]=Whitespace""", "a pre_tokenizer with")]
    public void Export_tokenizerWithoutCounterpart_isMP4107(string change, string message)
    {
        JsonNode tokenizer = JsonNode.Parse(ExportCase.Tokenizer)!;
        string[] parts = change.Split(['[', ']', '"', '='], StringSplitOptions.RemoveEmptyEntries);
        JsonNode at = tokenizer;
        foreach (string part in parts[..^2])
        {
            at = at[part]!;
        }

        at[parts[^2]] = int.TryParse(parts[^1], out int number) ? number : parts[^1];
        using var sample = new ExportCase(tokenizer: tokenizer.ToJsonString());
        sample.Compile("lossless");
        var error = Assert.Throws<ModelPackException>(() => sample.Export("gguf", "m.gguf"));
        Assert.Equal(ErrorCodes.ExportNotPossible, error.Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("architectures", """["GemmaForCausalLM"]""", "GemmaForCausalLM is not written as GGUF")]
    [InlineData("rope_scaling", """{"type":"dynamic","factor":2.0}""", "rotary embeddings of type 'dynamic'")]
    [InlineData("hidden_act", "\"gelu\"", "'hidden_act' is gelu")]
    [InlineData("num_hidden_layers", "2", "no tensor for 'blk.1.attn_k.weight'")]
    public void Export_configWithoutCounterpart_isMP4107(string key, string value, string message)
    {
        using var sample = new ExportCase(change: c => c.Config[key] = JsonNode.Parse(value));
        ModelPack.Toolchain.ModelCompiler.Compile(new ModelPack.Toolchain.CompileRequest { Input = sample.Checkpoint.Write(new TempFolder(), "x"), Output = sample.Artifact, Recipe = "lossless", WeightsOnly = true });
        var error = Assert.Throws<ModelPackException>(() => sample.Export("gguf", "m.gguf"));
        Assert.Equal(ErrorCodes.ExportNotPossible, error.Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    /// <summary>Hugging Face's own parser, from the npm registry.</summary>
    [Fact]
    public void Export_isReadByHuggingFacesParser()
    {
        if (!LongTests.Wanted)
        {
            return;
        }

        using var sample = new ExportCase();
        sample.Compile("int4(scale=f16)", "quantize.ends=keep");
        sample.Export("gguf", "m.gguf");
        string folder = Path.GetDirectoryName(sample["m.gguf"])!;
        File.WriteAllText(Path.Combine(folder, "package.json"), """{"type":"module","dependencies":{"@huggingface/gguf":"0.4.6"}}""");
        File.WriteAllText(Path.Combine(folder, "read.mjs"), """
            import { gguf } from "@huggingface/gguf";
            const { metadata, tensorInfos, tensorDataOffset } = await gguf("./m.gguf", { allowLocalFile: true });
            console.log(metadata["general.architecture"], metadata["tokenizer.ggml.tokens"].length, metadata["llama.attention.head_count_kv"]);
            for (const t of tensorInfos) console.log(t.name, t.dtype, t.shape.join("x"), t.offset % 32n, tensorDataOffset % 32n);
            """);
        Run(folder, "npm", "install --no-audit --no-fund");
        string[] lines = Run(folder, "node", "read.mjs").Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal("llama 40 2", lines[0]);
        Assert.Equal(sample.Checkpoint.Tensors.Count, lines.Length - 1);
        Assert.Contains("blk.0.ffn_down.weight 2 512x256 0n 0n", lines);
        Assert.Contains("output_norm.weight 0 256 0n 0n", lines);
    }

    private static string Run(string folder, string program, string arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true })!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, output + error.Result);
        return output;
    }

    /// <summary>Hugging Face's row of a row in the file: halves of a head against neighbours.</summary>
    private static int Source(string gguf, int row)
    {
        if (gguf is not ("attn_q" or "attn_k"))
        {
            return row;
        }

        // reshape(heads, 2, dim / 2).swapaxes(1, 2), counted out.
        int[] order = [.. Enumerable.Range(0, ExportCase.HeadDim / 2).SelectMany(i => new[] { i, i + (ExportCase.HeadDim / 2) })];
        return (row / ExportCase.HeadDim * ExportCase.HeadDim) + order[row % ExportCase.HeadDim];
    }
}
