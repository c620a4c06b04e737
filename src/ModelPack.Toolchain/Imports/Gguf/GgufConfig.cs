using System.Text.Json.Nodes;
using ModelPack.Architectures;
using ModelPack.Compiler;
using ModelPack.Containers.Gguf;

namespace ModelPack.Toolchain;

/// <summary>The configuration of a GGUF file's model.</summary>
/// <param name="Json">As config.json has it.</param>
/// <param name="HeadDim">Elements of a head.</param>
/// <param name="Vocabulary">Rows of the embedding.</param>
/// <param name="Used">Tensors that became part of it.</param>
/// <remarks>Source: llama.cpp, <c>src/llama-model.cpp</c> (<c>load_hparams</c>) and <c>convert_hf_to_gguf.py</c>.</remarks>
internal sealed record GgufConfig(JsonObject Json, int HeadDim, long Vocabulary, IReadOnlySet<string> Used)
{
    private const string Embedding = "token_embd.weight";
    private const string Frequencies = "rope_freqs.weight";
    private const int LargestHead = 1 << 16;

    /// <exception cref="ModelPackException">MP1520: a key is missing or wrong; MP1506: there is no embedding; MP1505: a rotary embedding that config.json has no words for.</exception>
    public static GgufConfig Read(GgufPairs pairs, string prefix, GgufArchitecture architecture, IReadOnlyDictionary<string, Tensor> tensors)
    {
        long Need(string key) => pairs.Count($"{prefix}.{key}") is long n and > 0 and <= int.MaxValue ? n : throw pairs.Wrong($"{prefix}.{key}", "a whole number above 0");
        long Optional(string key, long fallback) => pairs.Has($"{prefix}.{key}") ? Need(key) : fallback;
        if (!tensors.TryGetValue(Embedding, out Tensor? embedding) || embedding.Shape.Rank != 2)
        {
            throw new ModelPackException(ErrorCodes.WeightMissing, "is missing, or no matrix", tensor: Embedding);
        }

        long hidden = Need("embedding_length");
        long heads = Need("attention.head_count");
        long headDim = Optional("attention.key_length", Math.Max(1, hidden / heads));
        if (headDim % 2 != 0 || headDim > LargestHead)
        {
            throw pairs.Wrong($"{prefix}.attention.key_length", "an even number of elements of a head");
        }

        if (Optional("attention.value_length", headDim) != headDim)
        {
            throw pairs.Wrong($"{prefix}.attention.value_length", $"{headDim}, as keys have it");
        }

        if (Optional("rope.dimension_count", headDim) is long turned && turned != headDim && prefix != "phi3")
        {
            throw pairs.Wrong($"{prefix}.rope.dimension_count", $"{headDim}: parts of heads are turned in phi3 alone");
        }

        var json = new JsonObject
        {
            ["architectures"] = new JsonArray(architecture.ClassName),
            ["model_type"] = architecture.ClassName[..^"ForCausalLM".Length].ToLowerInvariant(),
            ["hidden_size"] = hidden,
            ["intermediate_size"] = Need("feed_forward_length"),
            ["num_hidden_layers"] = Need("block_count"),
            ["num_attention_heads"] = heads,
            ["num_key_value_heads"] = Optional("attention.head_count_kv", heads),
            ["head_dim"] = headDim,
            ["vocab_size"] = embedding.Shape[0],
            ["max_position_embeddings"] = Need("context_length"),
            ["rms_norm_eps"] = GgufJson.Number(pairs.Number($"{prefix}.attention.layer_norm_rms_epsilon") ?? throw pairs.Wrong($"{prefix}.attention.layer_norm_rms_epsilon", "a number")),
            ["rope_theta"] = GgufJson.Number(pairs.Number($"{prefix}.rope.freq_base") ?? (prefix == "gemma3" ? 1e6 : 1e4)),
            ["tie_word_embeddings"] = !tensors.ContainsKey("output.weight"),
            [architecture.GainsLessOne ? "hidden_activation" : "hidden_act"] = architecture.GainsLessOne ? "gelu_pytorch_tanh" : "silu",
        };
        if (prefix == "llama" && tensors.ContainsKey("blk.0.attn_q.bias"))
        {
            json["attention_bias"] = true;
        }

        AddIds(pairs, json);
        var used = new HashSet<string>(StringComparer.Ordinal);
        switch (prefix)
        {
            case "gemma2" or "gemma3":
                AddGemma(pairs, prefix, json, heads, hidden, headDim);
                break;
            case "phi3":
                json["partial_rotary_factor"] = GgufJson.Number((double)Optional("rope.dimension_count", headDim) / headDim);
                json["sliding_window"] = pairs.Count("phi3.attention.sliding_window") is long window and > 0 ? window : null;
                break;
        }

        AddRotary(pairs, prefix, json, headDim, tensors, used);
        return new GgufConfig(json, (int)headDim, embedding.Shape[0], used);
    }

    private static void AddIds(GgufPairs pairs, JsonObject json)
    {
        foreach (string name in (string[])["bos", "eos"])
        {
            if (pairs.Count($"tokenizer.ggml.{name}_token_id") is long id)
            {
                json[$"{name}_token_id"] = id;
            }
        }
    }

    private static void AddGemma(GgufPairs pairs, string prefix, JsonObject json, long heads, long hidden, long headDim)
    {
        // llama.cpp divides queries by the root of the head's size, but for the largest models by that of hidden / heads.
        bool largest = pairs.Count($"{prefix}.block_count") is 46 or 62;
        json["query_pre_attn_scalar"] = largest ? hidden / heads : headDim;
        json["attn_logit_softcapping"] = pairs.Number($"{prefix}.attn_logit_softcapping") is double attention ? GgufJson.Number(attention) : null;
        json["final_logit_softcapping"] = pairs.Number($"{prefix}.final_logit_softcapping") is double final ? GgufJson.Number(final) : null;
        json["sliding_window"] = pairs.Count($"{prefix}.attention.sliding_window") is long window and > 0 ? window : null;
    }

    /// <summary>Scaling of rotary embeddings: from keys, or from the factors of frequencies that files of Llama 3 and Phi 3 have as tensors.</summary>
    private static void AddRotary(GgufPairs pairs, string prefix, JsonObject json, long headDim, IReadOnlyDictionary<string, Tensor> tensors, HashSet<string> used)
    {
        double? factor = pairs.Number($"{prefix}.rope.scaling.factor");
        long? original = pairs.Count($"{prefix}.rope.scaling.original_context_length");
        ModelPackException NotBuilt(string what) => new(ErrorCodes.UnsupportedFeature, $"{what} cannot be said in config.json");
        switch (pairs.Text($"{prefix}.rope.scaling.type"))
        {
            case "linear":
                json["rope_scaling"] = new JsonObject { ["rope_type"] = "linear", ["factor"] = GgufJson.Number(factor ?? 1) };
                break;
            case "yarn":
                json["rope_scaling"] = new JsonObject { ["rope_type"] = "yarn", ["factor"] = GgufJson.Number(factor ?? 1), ["original_max_position_embeddings"] = original ?? throw pairs.Wrong($"{prefix}.rope.scaling.original_context_length", "a whole number") };
                break;
            case null or "none" or "longrope":
                break;
            case string other:
                throw NotBuilt($"scaling of rotary embeddings of the type '{other}'");
        }

        if (Factors(Frequencies, tensors, used) is float[] factors)
        {
            double theta = (double)json["rope_theta"]!;
            // The factors do not say what they were computed from; published models have a low factor of 1, a high one of 4, and mostly 8192 tokens.
            IEnumerable<double> lengths = Enumerable.Range(5, 14).Select(p => (double)(1 << p)).OrderBy(n => n != 8192);
            IEnumerable<JsonObject> known = lengths.Select(length => Llama3(factors[^1], 1, 4, length));
            json["rope_scaling"] = known.FirstOrDefault(k => Matches(GgufRope.Llama3(ModelConfig.Parse(GgufJson.Write(k)), theta, (int)headDim), factors)) ?? throw NotBuilt($"'{Frequencies}', which does not hold the factors of Llama 3,");
        }

        if (Factors("rope_factors_long.weight", tensors, used) is float[] longer && Factors("rope_factors_short.weight", tensors, used) is float[] shorter)
        {
            json["original_max_position_embeddings"] = original ?? throw pairs.Wrong($"{prefix}.rope.scaling.original_context_length", "a whole number");
            json["rope_scaling"] = new JsonObject { ["rope_type"] = "longrope", ["long_factor"] = List(longer), ["short_factor"] = List(shorter) };
            if (pairs.Number($"{prefix}.rope.scaling.attn_factor") is double attention)
            {
                json["rope_scaling"]!["attention_factor"] = GgufJson.Number(attention);
            }
        }
    }

    private static JsonObject Llama3(float factor, double low, double high, double original) => new()
    {
        ["rope_type"] = "llama3",
        ["factor"] = GgufJson.Number(factor),
        ["low_freq_factor"] = GgufJson.Number(low),
        ["high_freq_factor"] = GgufJson.Number(high),
        ["original_max_position_embeddings"] = (long)original,
    };

    private static bool Matches(float[] made, float[] factors) => made.Length == factors.Length && made.Zip(factors, (a, b) => Math.Abs(a - b) <= 1e-5f * Math.Abs(b)).All(same => same);

    private static JsonArray List(float[] values) => [.. values.Select(v => GgufJson.Number(v))];

    private static float[]? Factors(string name, IReadOnlyDictionary<string, Tensor> tensors, HashSet<string> used)
    {
        if (!tensors.TryGetValue(name, out Tensor? tensor))
        {
            return null;
        }

        used.Add(name);
        return tensor is { DType: DType.F32, Shape.Rank: 1 } && tensor.Shape[0] is > 0 and <= LargestHead && tensor.TryGetRawData(out TensorData data)
            ? System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(data.ToArray()).ToArray()
            : throw new ModelPackException(ErrorCodes.WeightShape, $"is {tensor.DType.Name()}{tensor.Shape}, not a row of f32 factors", tensor: name);
    }
}
