using System.Buffers.Binary;
using System.Text.Json.Nodes;
using ModelPack.Compiler;
using ModelPack.Pack;
using ModelPack.Runtime;
using ModelPack.Runtime.Text;
using ModelPack.Testing;
using ModelPack.Tests.Architectures;
using ModelPack.Tests.Containers;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain.Exports;

/// <summary>GGUF files as checkpoints: the codes and scales that went in, the graph of the published definition, and errors for what is wrong.</summary>
public sealed class GgufImportTests : IDisposable
{
    private const uint U32 = 4;
    private const uint F32 = 6;

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>What our export writes comes back with the same encodings and the same bytes in every stream, rows of queries and keys in their places.</summary>
    [Theory]
    [InlineData("lossless", true)]
    [InlineData("int8(scale=f16)", true)]
    [InlineData("int5(scale=f16)", true)]
    [InlineData("int4(scale=f16)", true)]
    [InlineData("mxfp4", true)]
    [InlineData("nvfp4", true)]
    [InlineData("gguf-q4_k", true)]
    [InlineData("gguf-q6_k", true)]
    [InlineData("gguf-tq2_0", true)]
    [InlineData("gguf-q4_0", false)]
    [InlineData("int4(block=128,scale=f16)", false)]
    public void Import_ofAnExport_hasTheSameCodes(string recipe, bool sameEncoding)
    {
        using var sample = new ExportCase();
        sample.Compile(recipe, recipe.Contains("tq", StringComparison.Ordinal) ? ["quantize.allow_ternary=true", "quantize.ends=keep"] : recipe == "lossless" ? [] : ["quantize.ends=keep"]);
        sample.Export("gguf", "m.gguf");
        using PackReader before = PackReader.Open(sample.Artifact);
        using ImportedModel after = ModelInput.Import(sample["m.gguf"], weightsOnly: true, out _, CancellationToken.None);
        Assert.Equal(sample.Checkpoint.Tensors.Keys, after.Model.Graph.Initializers.Select(t => t.Name).Order(StringComparer.Ordinal));
        foreach (Tensor tensor in after.Model.Graph.Initializers)
        {
            WeightEncoding original = Untransposed(before.Find(tensor.Name)!.Encoding);
            Assert.Equal(Values(original), Values(tensor.Encoding));
            if (!sameEncoding || tensor.Shape.Rank == 1)
            {
                continue; // Vectors are f32 in GGUF files.
            }

            string WithoutRule(WeightEncoding e) => e.Describe().Replace(",search=mse", ",search=none", StringComparison.Ordinal);
            Assert.Equal(WithoutRule(original), WithoutRule(tensor.Encoding));
            Assert.All(
                ((DenseEncoding)original).Streams.Zip(((DenseEncoding)tensor.Encoding).Streams),
                s => Assert.Equal((s.First.Role, Convert.ToHexString(s.First.Data.ToArray())), (s.Second.Role, Convert.ToHexString(s.Second.Data.ToArray()))));
        }
    }

    /// <summary>Streams that are put together from blocks give the same bytes wherever reading begins and ends, and their values are those of ggml's definition.</summary>
    [Theory]
    [InlineData(2, 18, 32)]
    [InlineData(6, 22, 32)]
    [InlineData(7, 24, 32)]
    [InlineData(8, 34, 32)]
    [InlineData(10, 84, 256)]
    [InlineData(11, 110, 256)]
    [InlineData(13, 176, 256)]
    [InlineData(39, 17, 32)]
    public void Weight_ofRandomBlocks_hasTheValuesOfTheDefinition(int type, int bytes, int values)
    {
        const int rows = 6;
        const int columns = 768;
        byte[] blocks = new byte[rows * columns / values * bytes];
        new SplitMix((ulong)type).Fill(blocks);
        for (int b = 0; b < blocks.Length; b += bytes)
        {
            // Halves that are finite; the exponent of MXFP4 near one.
            foreach (int at in type switch { 10 => (int[])[80, 82], 11 => [108], 7 or 13 => [0, 2], 39 => [], _ => [0] })
            {
                blocks[b + at + 1] = (byte)((blocks[b + at + 1] & 0x83) | 0x28);
            }

            blocks[b] = type == 39 ? (byte)(120 + (blocks[b] % 16)) : blocks[b];
        }

        string path = _folder.Write("m.gguf", new GgufBytes().Pair("general.architecture", "other").Tensor("w", [columns, rows], (uint)type, blocks).Build());
        using ImportedModel imported = ModelInput.Import(path, weightsOnly: false, out ModelPackException? notBuilt, CancellationToken.None);
        Assert.Equal(ErrorCodes.UnknownArchitecture, notBuilt!.Code);
        Tensor tensor = Assert.Single(imported.Model.Graph.Initializers);
        float[] expected = [.. Enumerable.Range(0, rows * columns / values).SelectMany(b => Scalar(type, blocks.AsSpan(b * bytes, bytes).ToArray()))];
        Assert.Equal(expected, Values(tensor.Encoding));
        Assert.Equal(type is 7 or 10 or 11 or 13, imported.Model.Metadata.Any(m => m.Key == GgufCheckpoint.Note));
        foreach (TensorData data in ((DenseEncoding)tensor.Encoding).Streams.Select(s => s.Data))
        {
            byte[] whole = data.ToArray();
            for (int at = 0, n = 1; at < whole.Length; at += n, n = (n * 3 % 1009) + 1)
            {
                byte[] piece = new byte[Math.Min(n, whole.Length - at)];
                data.Read(at, piece);
                Assert.True(whole.AsSpan(at, piece.Length).SequenceEqual(piece), $"{at}+{piece.Length}");
            }
        }
    }

    public static TheoryData<string> Families =>
    [
        "llama", "llama tied, as SmolLM", "llama linear", "llama llama3", "qwen2 window off", "qwen3", "phi3", "phi4-mini, part of heads turned", "phi3 longrope", "gemma2", "gemma3",
    ];

    /// <summary>A file written from llama.cpp's conventions alone runs as the published definition says.</summary>
    [Theory]
    [MemberData(nameof(Families))]
    public void Run_ofAFamily_isTheDefinition(string name)
    {
        RandomCheckpoint checkpoint = Family(name);
        long[] ids = FamilyCases.Ids(FamilyCases.Tokens, seed: 7);
        double[][] expected = new ScalarDecoder(checkpoint).Run(ids);
        string path = _folder.Write("m.gguf", Write(checkpoint).Build());
        using ModelSession session = ModelInput.Open(path, new ModelSessionOptions { Threads = 1 });
        ReadOnlySpan<float> logits = session.Run(NamedTensor.Of("input_ids", ids, 1, FamilyCases.Tokens)).Single().Values<float>();
        double worst = FamilyTests.WorstError(logits, expected);
        Assert.True(worst < 3e-5, $"max abs error {worst}");
    }

    [Fact]
    public void Compile_ofAGguf_runsGeneratesAndVerifiesAsItsSource()
    {
        string sample = RepositoryTree.PathTo("samples", "models", "tinyllama");
        string gguf = _folder["m.gguf"];
        ModelCompiler.Compile(new CompileRequest { Input = sample, Output = _folder["a.mpack"], Recipe = "int8(scale=f16)", Sets = ["quantize.ends=same"] });
        Exporting.Export(_folder["a.mpack"], "gguf", gguf);
        CompileResult compiled = ModelCompiler.Compile(new CompileRequest { Input = gguf, Output = _folder["b.mpack"], Recipe = "lossless", Form = ModelPack.Architectures.GraphForm.Cached });
        Assert.Empty(compiled.Warnings);
        Assert.All(Comparison.Compare(_folder["a.mpack"], _folder["b.mpack"]).Tensors, t => Assert.Equal(0, t.MaxAbsError));
        Assert.True(Verification.Verify(_folder["b.mpack"], rederive: gguf).Ok);
        var options = new ModelPack.Runtime.Generation.GenerationOptions { MaxTokens = 6 };
        string text = TextGeneration.Generate(_folder["b.mpack"], "The king", options).Text;
        Assert.Equal(text, TextGeneration.Generate(gguf, "The king", options).Text);
        BytePairTokenizer one = Tokenizer(File.ReadAllBytes(Path.Combine(sample, "tokenizer.json")));
        BytePairTokenizer two = Tokenizer(ModelInput.Files(gguf, int.MaxValue)("tokenizer.json")!.Value);
        foreach (string words in (string[])["Once upon a time, 1234 kings' horses…", "  two  spaces\n\nand Ünïcode 漢字 🙂", "<|endoftext|>x", ""])
        {
            Assert.Equal(one.Encode(words).AsEnumerable(), two.Encode(words).AsEnumerable());
        }
    }

    /// <summary>Pieces come with scores instead of merges; joined by them, text becomes the tokens of the original.</summary>
    [Fact]
    public void Tokenizer_ofPieces_givesTheTokensOfItsSource()
    {
        string[] bytes = [.. Enumerable.Range(0, 256).Select(b => $"<0x{b:X2}>")];
        string[] pieces = ["▁", "a", "b", "c", "▁a", "ab", "▁ab", "abc", "bc", "▁abc", "ca"];
        var tokens = new List<string> { "<unk>", "<s>", "</s>" };
        tokens.AddRange(bytes);
        tokens.AddRange(pieces);
        int[] types = [2, 3, 3, .. bytes.Select(_ => 6), .. pieces.Select(_ => 1)];
        string vocabulary = string.Join(',', tokens.Select((t, i) => $"{JsonValue.Create(t)!.ToJsonString()}:{i}"));
        string[] merges = ["a b", "b c", "▁ a", "▁a b", "▁ ab", "ab c", "a bc", "▁ab c", "▁a bc", "▁ abc", "c a"];
        string source = $$$$"""
            {"added_tokens":[{"id":0,"content":"<unk>","special":true},{"id":1,"content":"<s>","special":true},{"id":2,"content":"</s>","special":true}],
             "normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},
             "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]}}},
             "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},
             "model":{"type":"BPE","byte_fallback":true,"unk_token":"<unk>","vocab":{{{{{vocabulary}}}}},"merges":[{{{{string.Join(',', merges.Select(m => $"\"{m}\""))}}}}]}}
            """;
        float[] scores = [.. tokens.Select((t, i) => types[i] != 1 ? 0f : -Array.FindIndex(merges, m => m.Replace(" ", "", StringComparison.Ordinal) == t) is var rank && rank < 0 ? rank : rank == 0 ? 0f : -merges.Length)];
        RandomCheckpoint checkpoint = Family("llama");
        checkpoint.Config["vocab_size"] = JsonNode.Parse($"{tokens.Count}");
        checkpoint.Add("model.embed_tokens.weight", 1, 0, tokens.Count, 48);
        checkpoint.Add("lm_head.weight", 1, 0, tokens.Count, 48);
        GgufBytes file = Write(checkpoint)
            .Pair("tokenizer.ggml.model", "llama")
            .Pair("tokenizer.ggml.tokens", 9, List(8, tokens, GgufBytes.Text))
            .Pair("tokenizer.ggml.scores", 9, List(F32, scores, BitConverter.GetBytes))
            .Pair("tokenizer.ggml.token_type", 9, List(5, types, BitConverter.GetBytes))
            .Pair("tokenizer.ggml.bos_token_id", U32, BitConverter.GetBytes(1u))
            .Pair("tokenizer.ggml.unknown_token_id", U32, BitConverter.GetBytes(0u));
        BytePairTokenizer read = Tokenizer(ModelInput.Files(_folder.Write("m.gguf", file.Build()), int.MaxValue)("tokenizer.json")!.Value);
        BytePairTokenizer original = Tokenizer(System.Text.Encoding.UTF8.GetBytes(source));
        foreach (string text in (string[])["abc", "a ab abc  cab", "xyz é", "bca abcabc</s>"])
        {
            Assert.Equal(original.Encode(text).AsEnumerable(), read.Encode(text).AsEnumerable());
        }
    }

    public static TheoryData<string, int> Wrong => new()
    {
        { "no architecture", 1520 }, { "no block_count", 1520 }, { "block_count is text", 1520 }, { "no epsilon", 1520 }, { "no head_count", 1520 }, { "heads do not divide", 1504 }, { "odd head", 1520 },
        { "value_length", 1520 }, { "no embedding", 1506 }, { "a weight is missing", 1506 }, { "a weight too many", 1507 }, { "rows are no heads", 1508 }, { "unreadable type", 4110 },
        { "tokens do not fit", 1521 }, { "types do not fit", 1521 }, { "no merges", 1520 }, { "bad merge", 1521 }, { "id beyond", 1521 }, { "token twice", 1521 }, { "tokens are numbers", 1520 },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public void Compile_ofAWrongFile_isOneClearError(string what, int code)
    {
        RandomCheckpoint checkpoint = Family("llama");
        var skip = new HashSet<string>();
        var extra = new List<Action<GgufBytes>>();
        string[] tokens = [.. Enumerable.Range(0, 61).Select(i => i < 3 ? "abc"[i].ToString() : i == 3 ? "ab" : $"t{i}")];
        string[] merges = ["a b"];
        int[] types = [.. Enumerable.Repeat(1, 61)];
        uint eos = 2;
        switch (what)
        {
            case "no architecture": skip.Add("general.architecture"); break;
            case "no block_count" or "block_count is text": skip.Add("llama.block_count"); break;
            case "no epsilon": skip.Add("llama.attention.layer_norm_rms_epsilon"); break;
            case "no head_count": skip.Add("llama.attention.head_count"); break;
            case "heads do not divide": checkpoint.Config["num_key_value_heads"] = 4; break;
            case "odd head": extra.Add(f => f.Pair("llama.attention.key_length", U32, BitConverter.GetBytes(7u))); break;
            case "value_length": extra.Add(f => f.Pair("llama.attention.value_length", U32, BitConverter.GetBytes(6u))); break;
            case "no embedding": checkpoint.Tensors.Remove("model.embed_tokens.weight"); break;
            case "a weight is missing": checkpoint.Tensors.Remove("model.layers.1.mlp.up_proj.weight"); break;
            case "a weight too many": extra.Add(f => f.Tensor("blk.0.odd.weight", [4], 0, new byte[16])); break;
            case "rows are no heads": checkpoint.Add("model.layers.0.self_attn.q_proj.weight", 1, 0, 45, 48); break;
            case "unreadable type": extra.Add(f => f.Tensor("blk.0.odd.weight", [256], 16, new byte[66])); break;
            case "tokens do not fit": tokens = tokens[..60]; types = types[..60]; break;
            case "types do not fit": types = types[..60]; break;
            case "no merges": skip.Add("tokenizer.ggml.merges"); break;
            case "bad merge": merges = ["a c"]; break;
            case "id beyond": eos = 61; break;
            case "token twice": tokens[7] = "a"; break;
            case "tokens are numbers": skip.Add("tokenizer.ggml.tokens"); extra.Add(f => f.Pair("tokenizer.ggml.tokens", 9, List(5, types, BitConverter.GetBytes))); break;
        }

        if (what == "block_count is text")
        {
            extra.Add(f => f.Pair("llama.block_count", "three"));
        }

        GgufBytes file = Write(checkpoint, skip);
        void Add(string key, Action<string> add)
        {
            if (!skip.Contains(key))
            {
                add(key);
            }
        }

        file.Pair("tokenizer.ggml.model", "gpt2").Pair("tokenizer.ggml.token_type", 9, List(5, types, BitConverter.GetBytes)).Pair("tokenizer.ggml.eos_token_id", U32, BitConverter.GetBytes(eos));
        Add("tokenizer.ggml.tokens", key => file.Pair(key, 9, List(8, tokens, GgufBytes.Text)));
        Add("tokenizer.ggml.merges", key => file.Pair(key, 9, List(8, merges, GgufBytes.Text)));
        extra.ForEach(e => e(file));
        string path = _folder.Write("m.gguf", file.Build());
        var error = Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(new CompileRequest { Input = path, Output = _folder["m.mpack"], Recipe = "lossless" }));
        ErrorCode[] codes = [ErrorCodes.GgufModelKey, ErrorCodes.GgufVocabulary, ErrorCodes.CompileNotPossible, ErrorCodes.WeightMissing, ErrorCodes.WeightUnused, ErrorCodes.WeightShape, ErrorCodes.ConfigHeads];
        Assert.Equal(codes.Single(c => c.Number == code), error.Code);
        Assert.Equal(path, error.Path);
        Assert.DoesNotContain('\n', error.Line);
    }

    [Fact]
    public void Compile_ofAnUnknownArchitectureOrTokenizer_saysWhatIsLeftOut()
    {
        RandomCheckpoint checkpoint = Family("llama");
        string strange = _folder.Write("t.gguf", Write(checkpoint).Pair("tokenizer.ggml.model", "rwkv").Build());
        Assert.Contains(ModelCompiler.Compile(new CompileRequest { Input = strange, Output = _folder["m.mpack"], Recipe = "lossless" }).Warnings, w => w.Contains("'rwkv' is not read", StringComparison.Ordinal));
        string other = _folder.Write("o.gguf", Write(checkpoint, ["general.architecture"]).Pair("general.architecture", "mamba").Build());
        CompileResult result = ModelCompiler.Compile(new CompileRequest { Input = other, Output = _folder["o.mpack"], Recipe = "lossless" });
        Assert.Contains(result.Warnings, w => w.Contains("'mamba'", StringComparison.Ordinal) && w.Contains("weights only", StringComparison.Ordinal));
        Assert.Contains(result.Tensors, t => t.Name == "blk.0.attn_q.weight");
    }

    [Fact]
    public void Import_mutatedFiles_giveErrorsOfOurs()
    {
        RandomCheckpoint checkpoint = Family("llama tied, as SmolLM");
        string[] tokens = [.. Enumerable.Range(0, 61).Select(i => i < 3 ? "abc"[i].ToString() : i == 3 ? "ab" : $"t{i}")];
        GgufBytes file = Write(checkpoint, tensors: false)
            .Pair("tokenizer.ggml.model", "gpt2")
            .Pair("tokenizer.ggml.tokens", 9, List(8, tokens, GgufBytes.Text))
            .Pair("tokenizer.ggml.merges", 9, List(8, (string[])["a b"], GgufBytes.Text))
            .Tensor("token_embd.weight", [36, 61], 0, new byte[36 * 61 * 4])
            .Tensor("blk.0.attn_q.weight", [32, 12], 8, new byte[12 * 34])
            .Tensor("blk.0.ffn_up.weight", [256, 1], 11, new byte[110]);
        FuzzReport report = Fuzzer.Fuzz(
            file.Build(),
            500,
            bytes =>
            {
                using ImportedModel imported = ModelInput.Import(_folder.Write("f.gguf", bytes), weightsOnly: true, out _, CancellationToken.None);
                foreach (Tensor tensor in imported.Model.Graph.Initializers.Where(t => t.Shape.ElementCount < 100_000))
                {
                    try
                    {
                        Values(tensor.Encoding);
                    }
                    catch (ModelPackException)
                    {
                        // Blocks of other types say so when they are read.
                    }
                }
            },
            hotBytes: 1200);
        Assert.True(report.RejectedCount > 50, $"{report}");
        Assert.True(report.Accepted > 50, $"{report}");
    }

    private static BytePairTokenizer Tokenizer(ReadOnlyMemory<byte> json) => BytePairTokenizer.Parse(json);

    private static WeightEncoding Untransposed(WeightEncoding encoding) => encoding is StructuredEncoding { Structure.Id: "permuted", Components: [WeightEncoding only] } ? only : encoding;

    private static float[] Values(WeightEncoding encoding)
    {
        IValueReader reader = EncodingValues.Open(encoding);
        long rows = encoding.Shape.Rank == 0 ? 1 : encoding.Shape.Rows;
        float[] values = new float[encoding.Shape.ElementCount];
        if (values.Length > 0)
        {
            reader.ReadRows(0, (int)rows, values);
        }

        return values;
    }

    private static byte[] List<T>(uint type, IReadOnlyCollection<T> items, Func<T, byte[]> bytes) => [.. BitConverter.GetBytes(type), .. BitConverter.GetBytes((ulong)items.Count), .. items.SelectMany(bytes)];

    /// <summary>A case of the families, with what GGUF files cannot say set to what llama.cpp assumes.</summary>
    private static RandomCheckpoint Family(string name)
    {
        RandomCheckpoint checkpoint = FamilyCases.Make(name);
        JsonObject config = checkpoint.Config;
        if (name.StartsWith("gemma", StringComparison.Ordinal))
        {
            config["query_pre_attn_scalar"] = config["head_dim"]!.DeepClone();
        }

        if (name == "gemma3")
        {
            config["sliding_window_pattern"] = JsonNode.Parse("6");
            config["rope_local_base_freq"] = 10000.0;
        }

        if (name == "llama llama3")
        {
            config["rope_scaling"]!["original_max_position_embeddings"] = JsonNode.Parse("8192");
            config["rope_theta"] = 500000.0;
        }

        return checkpoint;
    }

    /// <summary>The file of a checkpoint, from llama.cpp's names and conventions.</summary>
    private static GgufBytes Write(RandomCheckpoint checkpoint, IReadOnlyCollection<string>? without = null, bool tensors = true)
    {
        JsonObject config = checkpoint.Config;
        string className = (string)config["architectures"]![0]!;
        string arch = className[..^"ForCausalLM".Length].ToLowerInvariant();
        int Int(string key, int fallback) => (int?)config[key] ?? fallback;
        int heads = Int("num_attention_heads", 0);
        int hidden = Int("hidden_size", 0);
        int dim = Int("head_dim", hidden / heads);
        var file = new GgufBytes();
        void Count(string key, int value) => Pair(key, U32, BitConverter.GetBytes(value));
        void Number(string key, JsonNode? value)
        {
            if (value is not null)
            {
                Pair(key, F32, BitConverter.GetBytes((float)(double)value));
            }
        }

        void Pair(string key, uint type, byte[] value)
        {
            if (without?.Contains(key) != true)
            {
                file.Pair(key, type, value);
            }
        }

        Pair("general.architecture", 8, GgufBytes.Text(arch));
        Count(arch + ".context_length", Int("max_position_embeddings", 0));
        Count(arch + ".embedding_length", hidden);
        Count(arch + ".block_count", Int("num_hidden_layers", 0));
        Count(arch + ".feed_forward_length", Int("intermediate_size", 0));
        Count(arch + ".attention.head_count", heads);
        Count(arch + ".attention.head_count_kv", Int("num_key_value_heads", heads));
        Number(arch + ".attention.layer_norm_rms_epsilon", config["rms_norm_eps"] ?? 1e-6);
        Number(arch + ".rope.freq_base", config["rope_theta"]);
        Count(arch + ".rope.dimension_count", (int)(dim * ((double?)config["partial_rotary_factor"] ?? 1)));
        if (dim * heads != hidden)
        {
            Count(arch + ".attention.key_length", dim);
            Count(arch + ".attention.value_length", dim);
        }

        if ((int?)config["sliding_window"] is int window && config["use_sliding_window"] is null)
        {
            Count(arch + ".attention.sliding_window", window);
        }

        Number(arch + ".attn_logit_softcapping", config["attn_logit_softcapping"]);
        Number(arch + ".final_logit_softcapping", config["final_logit_softcapping"]);
        JsonNode? scaling = config["rope_scaling"];
        string? kind = (string?)(scaling?["rope_type"] ?? scaling?["type"]);
        if (kind == "linear")
        {
            Pair(arch + ".rope.scaling.type", 8, GgufBytes.Text("linear"));
            Number(arch + ".rope.scaling.factor", scaling!["factor"]);
        }

        void Vector(string name, IEnumerable<double> values)
        {
            byte[] bytes = [.. values.SelectMany(v => BitConverter.GetBytes((float)v))];
            file.Tensor(name, [(ulong)bytes.Length / 4], 0, bytes);
        }

        if (kind == "llama3")
        {
            // modeling_rope_utils.py, _compute_llama3_parameters.
            double theta = (double)config["rope_theta"]!;
            double factor = (double)scaling!["factor"]!;
            double original = (double)scaling["original_max_position_embeddings"]!;
            Vector("rope_freqs.weight", Enumerable.Range(0, dim / 2).Select(i =>
            {
                double wave = 2 * Math.PI * Math.Pow(theta, 2.0 * i / dim);
                double smooth = ((original / wave) - 1) / 3;
                return wave < original / 4 ? 1 : wave > original ? factor : 1 / (((1 - smooth) / factor) + smooth);
            }));
        }

        if (kind == "longrope")
        {
            Count(arch + ".rope.scaling.original_context_length", (int)config["original_max_position_embeddings"]!);
            Vector("rope_factors_long.weight", scaling!["long_factor"]!.AsArray().Select(v => (double)v!));
            Vector("rope_factors_short.weight", scaling["short_factor"]!.AsArray().Select(v => (double)v!));
        }

        foreach ((string name, (long[] shape, float[] values)) in tensors ? checkpoint.Tensors : [])
        {
            (string to, float[] stored) = (Name(name, arch), values);
            if (arch.StartsWith("gemma", StringComparison.Ordinal) && name.EndsWith("norm.weight", StringComparison.Ordinal))
            {
                stored = [.. values.Select(v => v + 1)];
            }

            if (arch == "llama" && (to.Contains("attn_q.", StringComparison.Ordinal) || to.Contains("attn_k.", StringComparison.Ordinal)) && shape[0] % dim == 0)
            {
                // LlamaModel.permute: reshape(heads, 2, dim / 2, ...).swapaxes(1, 2).
                long columns = values.Length / shape[0];
                stored = new float[values.Length];
                for (long row = 0, at = 0; row < shape[0]; row += dim)
                {
                    for (int i = 0; i < dim / 2; i++)
                    {
                        for (int half = 0; half < 2; half++, at++)
                        {
                            Array.Copy(values, (row + (half * dim / 2) + i) * columns, stored, at * columns, columns);
                        }
                    }
                }
            }

            file.Tensor(to, [.. shape.Reverse().Select(d => (ulong)d)], 0, [.. stored.SelectMany(BitConverter.GetBytes)]);
        }

        return file;
    }

    private static string Name(string name, string arch)
    {
        bool gemma = arch.StartsWith("gemma", StringComparison.Ordinal);
        return name.Replace("model.layers.", "blk.", StringComparison.Ordinal)
            .Replace("model.embed_tokens", "token_embd", StringComparison.Ordinal).Replace("model.norm", "output_norm", StringComparison.Ordinal).Replace("lm_head", "output", StringComparison.Ordinal)
            .Replace("self_attn.qkv_proj", "attn_qkv", StringComparison.Ordinal).Replace("mlp.gate_up_proj", "ffn_up", StringComparison.Ordinal)
            .Replace("self_attn.q_proj", "attn_q", StringComparison.Ordinal).Replace("self_attn.k_proj", "attn_k", StringComparison.Ordinal).Replace("self_attn.v_proj", "attn_v", StringComparison.Ordinal)
            .Replace("self_attn.o_proj", "attn_output", StringComparison.Ordinal).Replace("self_attn.q_norm", "attn_q_norm", StringComparison.Ordinal).Replace("self_attn.k_norm", "attn_k_norm", StringComparison.Ordinal)
            .Replace("mlp.gate_proj", "ffn_gate", StringComparison.Ordinal).Replace("mlp.up_proj", "ffn_up", StringComparison.Ordinal).Replace("mlp.down_proj", "ffn_down", StringComparison.Ordinal)
            .Replace("post_attention_layernorm", gemma ? "post_attention_norm" : "ffn_norm", StringComparison.Ordinal).Replace("pre_feedforward_layernorm", "ffn_norm", StringComparison.Ordinal)
            .Replace("post_feedforward_layernorm", "post_ffw_norm", StringComparison.Ordinal).Replace("input_layernorm", "attn_norm", StringComparison.Ordinal);
    }

    /// <summary>ggml-quants.c, dequantize_row_*, loop by loop.</summary>
    private static float[] Scalar(int type, byte[] x)
    {
        float Half(int at) => (float)BinaryPrimitives.ReadHalfLittleEndian(x.AsSpan(at));
        float[] y = new float[type is 10 or 11 or 13 ? 256 : 32];
        switch (type)
        {
            case 2:
                for (int j = 0; j < 16; j++)
                {
                    y[j] = ((x[2 + j] & 0x0F) - 8) * Half(0);
                    y[j + 16] = ((x[2 + j] >> 4) - 8) * Half(0);
                }

                break;
            case 6 or 7:
                int head = type == 6 ? 2 : 4;
                uint qh = BinaryPrimitives.ReadUInt32LittleEndian(x.AsSpan(head));
                for (int j = 0; j < 16; j++)
                {
                    int low = (x[head + 4 + j] & 0x0F) | (int)(((qh >> j) << 4) & 0x10);
                    int high = (x[head + 4 + j] >> 4) | (int)((qh >> (j + 12)) & 0x10);
                    y[j] = type == 6 ? (low - 16) * Half(0) : (low * Half(0)) + Half(2);
                    y[j + 16] = type == 6 ? (high - 16) * Half(0) : (high * Half(0)) + Half(2);
                }

                break;
            case 8:
                for (int j = 0; j < 32; j++)
                {
                    y[j] = (sbyte)x[2 + j] * Half(0);
                }

                break;
            case 39:
                float[] table = [0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0f, -0.5f, -1, -1.5f, -2, -3, -4, -6];
                for (int j = 0; j < 16; j++)
                {
                    float d = MathF.ScaleB(1, x[0] - 127);
                    y[j] = table[x[1 + j] & 0x0F] * d;
                    y[j + 16] = table[x[1 + j] >> 4] * d;
                }

                break;
            case 10:
                for (int n = 0, at = 0, scale = 0, q = 16; n < 256; n += 128, q += 32)
                {
                    for (int shift = 0; shift < 8; shift += 2)
                    {
                        for (int part = 0; part < 2; part++, scale++)
                        {
                            float dl = Half(80) * (x[scale] & 0xF);
                            float ml = Half(82) * (x[scale] >> 4);
                            for (int l = 0; l < 16; l++, at++)
                            {
                                y[at] = (dl * ((x[q + (16 * part) + l] >> shift) & 3)) - ml;
                            }
                        }
                    }
                }

                break;
            case 11:
                uint[] aux = [BitConverter.ToUInt32(x, 96), BitConverter.ToUInt32(x, 100), BitConverter.ToUInt32(x, 104), 0];
                uint tmp = aux[2];
                aux[2] = ((aux[0] >> 4) & 0x0f0f0f0f) | (((tmp >> 4) & 0x03030303) << 4);
                aux[3] = ((aux[1] >> 4) & 0x0f0f0f0f) | (((tmp >> 6) & 0x03030303) << 4);
                aux[0] = (aux[0] & 0x0f0f0f0f) | ((tmp & 0x03030303) << 4);
                aux[1] = (aux[1] & 0x0f0f0f0f) | (((tmp >> 2) & 0x03030303) << 4);
                byte[] scales = [.. aux.SelectMany(BitConverter.GetBytes)];
                for (int n = 0, at = 0, scale = 0, q = 32, m = 1; n < 256; n += 128, q += 32)
                {
                    for (int shift = 0; shift < 8; shift += 2, m <<= 1)
                    {
                        for (int part = 0; part < 2; part++, scale++)
                        {
                            float dl = Half(108) * (scales[scale] - 32);
                            for (int l = 0; l < 16; l++, at++)
                            {
                                y[at] = dl * (((x[q + (16 * part) + l] >> shift) & 3) - ((x[(16 * part) + l] & m) != 0 ? 0 : 4));
                            }
                        }
                    }
                }

                break;
            default:
                (int Scale, int Minimum) At(int j) => j < 4
                    ? (x[4 + j] & 63, x[8 + j] & 63)
                    : ((x[8 + j] & 0xF) | ((x[j] >> 6) << 4), (x[8 + j] >> 4) | ((x[4 + j] >> 6) << 4));
                for (int j = 0, at = 0, ql = 48, u1 = 1, u2 = 2; j < 8; j += 2, ql += 32, u1 <<= 2, u2 <<= 2)
                {
                    float d1 = Half(0) * At(j).Scale, m1 = Half(2) * At(j).Minimum, d2 = Half(0) * At(j + 1).Scale, m2 = Half(2) * At(j + 1).Minimum;
                    for (int l = 0; l < 32; l++, at++)
                    {
                        y[at] = (d1 * ((x[ql + l] & 0xF) + ((x[16 + l] & u1) != 0 ? 16 : 0))) - m1;
                    }

                    for (int l = 0; l < 32; l++, at++)
                    {
                        y[at] = (d2 * ((x[ql + l] >> 4) + ((x[16 + l] & u2) != 0 ? 16 : 0))) - m2;
                    }
                }

                break;
        }

        return y;
    }
}
