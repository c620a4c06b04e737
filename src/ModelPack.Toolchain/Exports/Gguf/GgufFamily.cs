using System.Collections.Frozen;
using ModelPack.Architectures;
using ModelPack.Containers.Gguf;
using static ModelPack.ErrorCodes;

namespace ModelPack.Toolchain;

/// <summary>How llama.cpp calls the parts of a family of models: keys, tensor names, the order of rows.</summary>
/// <remarks>Source: llama.cpp, <c>convert_hf_to_gguf.py</c> and <c>gguf-py/gguf/tensor_mapping.py</c>.</remarks>
internal sealed class GgufFamily
{
    private const string LayerPrefix = "model.layers.";

    private static readonly FrozenDictionary<string, string> Ends = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["model.embed_tokens"] = "token_embd",
        ["model.norm"] = "output_norm",
        ["lm_head"] = "output",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    private static readonly Dictionary<string, string> Attention = new(StringComparer.Ordinal)
    {
        ["input_layernorm"] = "attn_norm",
        ["self_attn.q_proj"] = "attn_q",
        ["self_attn.k_proj"] = "attn_k",
        ["self_attn.v_proj"] = "attn_v",
        ["self_attn.o_proj"] = "attn_output",
    };

    private static readonly Dictionary<string, string> Mlp = new(StringComparer.Ordinal)
    {
        ["post_attention_layernorm"] = "ffn_norm",
        ["mlp.gate_proj"] = "ffn_gate",
        ["mlp.up_proj"] = "ffn_up",
        ["mlp.down_proj"] = "ffn_down",
    };

    private static readonly Dictionary<string, string> HeadNorms = new(StringComparer.Ordinal)
    {
        ["self_attn.q_norm"] = "attn_q_norm",
        ["self_attn.k_norm"] = "attn_k_norm",
    };

    private static readonly Dictionary<string, string> GemmaNorms = new(StringComparer.Ordinal)
    {
        ["post_attention_layernorm"] = "post_attention_norm",
        ["pre_feedforward_layernorm"] = "ffn_norm",
        ["post_feedforward_layernorm"] = "post_ffw_norm",
    };

    /// <summary>Experts are one tensor per part, [experts, out, in]; <c>{e}</c> is the number of the expert.</summary>
    private static readonly Dictionary<string, string> MixtralExperts = new(StringComparer.Ordinal)
    {
        ["post_attention_layernorm"] = "ffn_norm",
        ["block_sparse_moe.gate"] = "ffn_gate_inp",
        ["block_sparse_moe.experts.{e}.w1"] = "ffn_gate_exps",
        ["block_sparse_moe.experts.{e}.w3"] = "ffn_up_exps",
        ["block_sparse_moe.experts.{e}.w2"] = "ffn_down_exps",
    };

    private static readonly Dictionary<string, string> QwenExperts = new(StringComparer.Ordinal)
    {
        ["post_attention_layernorm"] = "ffn_norm",
        ["mlp.gate"] = "ffn_gate_inp",
        ["mlp.experts.{e}.gate_proj"] = "ffn_gate_exps",
        ["mlp.experts.{e}.up_proj"] = "ffn_up_exps",
        ["mlp.experts.{e}.down_proj"] = "ffn_down_exps",
    };

    /// <summary>Joined projections: llama.cpp takes queries, keys and values, and gate and up, in the order that they have in the checkpoint.</summary>
    private static readonly Dictionary<string, string> Phi = new(StringComparer.Ordinal)
    {
        ["input_layernorm"] = "attn_norm",
        ["self_attn.qkv_proj"] = "attn_qkv",
        ["self_attn.o_proj"] = "attn_output",
        ["post_attention_layernorm"] = "ffn_norm",
        ["mlp.gate_up_proj"] = "ffn_up",
        ["mlp.down_proj"] = "ffn_down",
    };

    private static readonly FrozenDictionary<string, GgufFamily> ByClass = new Dictionary<string, GgufFamily>(StringComparer.Ordinal)
    {
        ["LlamaForCausalLM"] = new("llama", [Attention, Mlp]) { Interleaved = true },
        ["MistralForCausalLM"] = new("llama", [Attention, Mlp]) { Interleaved = true },
        ["MixtralForCausalLM"] = new("llama", [Attention, MixtralExperts]) { Interleaved = true, Experts = "num_local_experts" },
        ["Qwen2ForCausalLM"] = new("qwen2", [Attention, Mlp]),
        ["Qwen3ForCausalLM"] = new("qwen3", [Attention, HeadNorms, Mlp]),
        ["Qwen3MoeForCausalLM"] = new("qwen3moe", [Attention, HeadNorms, QwenExperts]) { Experts = "num_experts" },
        ["Phi3ForCausalLM"] = new("phi3", [Phi]),
        ["Gemma2ForCausalLM"] = new("gemma2", [Attention, Mlp, GemmaNorms]) { IsGemma = true },
        ["Gemma3ForCausalLM"] = new("gemma3", [Attention, HeadNorms, Mlp, GemmaNorms]) { IsGemma = true },
    }.ToFrozenDictionary(StringComparer.Ordinal);

    private readonly FrozenDictionary<string, string> _parts;

    /// <param name="architecture">llama.cpp's name.</param>
    /// <param name="parts">Names in a layer; later ones replace earlier ones.</param>
    private GgufFamily(string architecture, ReadOnlySpan<Dictionary<string, string>> parts)
    {
        Architecture = architecture;
        var all = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (Dictionary<string, string> some in parts)
        {
            foreach ((string hf, string gguf) in some)
            {
                all[hf] = gguf;
            }
        }

        _parts = all.ToFrozenDictionary(StringComparer.Ordinal);
    }

    /// <summary>Value of <c>general.architecture</c>, and prefix of its keys.</summary>
    public string Architecture { get; }

    /// <summary>Gains of norms are stored less one, and llama.cpp's are not; the head is the embedding; windows are llama.cpp's own.</summary>
    public bool IsGemma { get; private init; }

    /// <summary>The key of config.json that counts experts; null for a family without.</summary>
    public string? Experts { get; private init; }

    private bool Interleaved { get; init; }

    /// <summary>The family of a checkpoint.</summary>
    /// <exception cref="ModelPackException">MP4107: none that is written.</exception>
    public static GgufFamily Of(ModelConfig config) => ByClass.GetValueOrDefault(config.Architecture)
        ?? throw new ModelPackException(ExportNotPossible, $"{config.Architecture} is not written as GGUF; there are: {string.Join(", ", ByClass.Keys.Order(StringComparer.Ordinal))}");

    /// <summary>The name of a tensor, and its place among experts that are one tensor there; null for one that llama.cpp has no place for.</summary>
    public string? Name(string tensor, out int? expert)
    {
        expert = null;
        if (GgufTensorNames.Split(tensor) is not (string module, string kind))
        {
            return null;
        }

        if (Ends.TryGetValue(module, out string? end))
        {
            return $"{end}.{kind}";
        }

        if (!module.StartsWith(LayerPrefix, StringComparison.Ordinal))
        {
            return null;
        }

        string rest = module[LayerPrefix.Length..];
        int part = rest.IndexOf('.', StringComparison.Ordinal);
        return part > 0 && rest[..part].All(char.IsAsciiDigit) && _parts.TryGetValue(WithoutExpert(rest[(part + 1)..], out expert), out string? name)
            ? $"blk.{rest[..part]}.{name}.{kind}"
            : null;
    }

    /// <summary>The name of a part with <c>{e}</c> for the number of an expert.</summary>
    private static string WithoutExpert(string part, out int? expert)
    {
        const string marker = "experts.";
        int start = part.IndexOf(marker, StringComparison.Ordinal) + marker.Length;
        int end = start < marker.Length ? -1 : part.IndexOf('.', start);
        expert = end > start && int.TryParse(part.AsSpan(start, end - start), System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out int number) ? number : null;
        return expert is null ? part : $"{part[..start]}{{e}}{part[end..]}";
    }

    /// <summary>The weights without which llama.cpp does not load the file.</summary>
    /// <param name="layers">Number of layers.</param>
    public IEnumerable<string> Required(int layers)
    {
        yield return "token_embd.weight";
        yield return "output_norm.weight";
        for (int layer = 0; layer < layers; layer++)
        {
            foreach (string part in _parts.Values.Order(StringComparer.Ordinal))
            {
                yield return $"blk.{layer}.{part}.weight";
            }
        }
    }

    /// <summary>
    /// llama.cpp turns neighbouring elements of a head in the llama family, Hugging Face elements half a head apart: rows of queries and keys, and their biases, change places.
    /// Row h·d + 2i + j comes from row h·d + j·d/2 + i.
    /// </summary>
    /// <param name="name">The name in the GGUF file.</param>
    /// <param name="headDim">Rows of a head.</param>
    /// <returns>Where a row comes from; null when rows stay where they are.</returns>
    public Func<long, long>? Rows(string name, int headDim) => Interleaved && (name.Contains(".attn_q.", StringComparison.Ordinal) || name.Contains(".attn_k.", StringComparison.Ordinal))
        ? row =>
        {
            (long head, long at) = Math.DivRem(row, headDim);
            return (head * headDim) + ((at & 1) * (headDim / 2)) + (at >> 1);
        }
    : null;

    /// <summary>Writes the keys that describe the network.</summary>
    /// <param name="config">The checkpoint's configuration.</param>
    /// <param name="metadata">Takes them.</param>
    /// <returns>Factors of rotary frequencies [headDim / 2] for the tensor <c>rope_freqs.weight</c>; null for none.</returns>
    /// <exception cref="ModelPackException">MP1503: a wrong value; MP4107: one that llama.cpp does not have.</exception>
    public float[]? Describe(ModelConfig config, GgufMetadata metadata)
    {
        string key = IsGemma ? "hidden_activation" : "hidden_act";
        string expected = IsGemma ? "gelu_pytorch_tanh" : "silu";
        if (config.Text(key) is string activation && activation != expected)
        {
            throw NotPossible($"'{key}' is {activation}; llama.cpp computes {Architecture} with {expected}");
        }

        uint Count(string name, long? fallback = null) => (uint)config.Positive(name, fallback);
        uint heads = Count("num_attention_heads");
        uint hidden = Count("hidden_size");
        uint dim = Count("head_dim", IsGemma ? GemmaHeadDim : Math.Max(1, hidden / heads));
        void Add(string name, uint value) => metadata.Add($"{Architecture}.{name}", value);
        Add("context_length", Count("max_position_embeddings"));
        Add("embedding_length", hidden);
        Add("block_count", Count("num_hidden_layers"));
        Add("feed_forward_length", Count("intermediate_size"));
        Add("attention.head_count", heads);
        Add("attention.head_count_kv", Count("num_key_value_heads", IsGemma ? GemmaGroups : heads));
        metadata.Add($"{Architecture}.attention.layer_norm_rms_epsilon", (float)config.Number("rms_norm_eps", 1e-6));
        if (dim * heads != hidden || IsGemma || Architecture is "qwen3" or "qwen3moe")
        {
            Add("attention.key_length", dim);
            Add("attention.value_length", dim);
        }

        uint rotary = Architecture == "phi3" ? (uint)(dim * (config.OptionalNumber("partial_rotary_factor") ?? config.Section("rope_parameters")?.OptionalNumber("partial_rotary_factor") ?? 1f)) : dim;
        Add("rope.dimension_count", rotary);
        Add("vocab_size", Count("vocab_size"));
        DescribeExperts(config, metadata);
        if (IsGemma)
        {
            DescribeGemma(config, metadata, dim, hidden / heads);
            ModelConfig? parameters = config.Section("rope_parameters");
            return GgufRope.Describe(config, parameters?.Section("full_attention") ?? config.Section("rope_scaling") ?? parameters, Architecture == "gemma3" ? GemmaTheta : GgufRope.DefaultTheta, Architecture, (int)rotary, metadata);
        }

        if (Architecture == "phi3")
        {
            Add("attention.sliding_window", (uint)(config.OptionalPositive("sliding_window") ?? 0));
        }

        return GgufRope.Describe(config, config.Section("rope_scaling") ?? config.Section("rope_parameters"), GgufRope.DefaultTheta, Architecture, (int)rotary, metadata);
    }

    private const long GemmaHeadDim = 256;
    private const long GemmaGroups = 4;
    private const double GemmaTheta = 1_000_000;

    /// <summary>Base of the rotary embedding of Gemma 3's local layers, which llama.cpp has built in.</summary>
    private const double GemmaLocalTheta = 10_000;

    private static ModelPackException NotPossible(string what) => new(ExportNotPossible, $"{ModelConfig.FileName}: {what}");

    private void DescribeExperts(ModelConfig config, GgufMetadata metadata)
    {
        if (Experts is null)
        {
            return;
        }

        metadata.Add($"{Architecture}.expert_count", (uint)config.Positive(Experts));
        metadata.Add($"{Architecture}.expert_used_count", (uint)config.Positive("num_experts_per_tok"));
        if (Architecture != "qwen3moe")
        {
            return;
        }

        if (!config.Flag("norm_topk_prob", false) || config.Integers("mlp_only_layers").Count > 0 || config.Positive("decoder_sparse_step", 1) != 1)
        {
            throw NotPossible("llama.cpp computes qwen3moe with experts in every layer, whose shares are over their sum (norm_topk_prob); this model is another");
        }

        metadata.Add($"{Architecture}.expert_feed_forward_length", (uint)config.Positive("moe_intermediate_size"));
    }

    /// <summary>Caps, windows and scales, of which llama.cpp has some built in.</summary>
    private void DescribeGemma(ModelConfig config, GgufMetadata metadata, uint headDim, uint widthPerHead)
    {
        bool second = Architecture == "gemma2";
        long layers = config.Positive("num_hidden_layers");
        long scalar = layers == (second ? 46 : 62) ? widthPerHead : headDim; // llama.cpp knows the largest model by its layers.
        if ((float)config.Number("query_pre_attn_scalar", 256) is float given && given != scalar)
        {
            throw NotPossible(FormattableString.Invariant($"'query_pre_attn_scalar' is {given}; llama.cpp scales {Architecture} of {layers} layers by {scalar}"));
        }

        if (!config.Flag("tie_word_embeddings", true) || config.Flag("attention_bias", false))
        {
            throw NotPossible($"llama.cpp has neither an output layer of its own nor biases for {Architecture}");
        }

        (float? attention, float? logits) = (Cap("attn_logit_softcapping", 50), Cap("final_logit_softcapping", 30));
        if (second == attention is null || (second && logits is null))
        {
            throw NotPossible($"llama.cpp computes {Architecture} {(second ? "with caps of attention and logits" : "without caps of attention")}");
        }

        if (attention is float cap)
        {
            metadata.Add("gemma2.attn_logit_softcapping", cap);
        }

        if (logits is float last)
        {
            metadata.Add($"{Architecture}.final_logit_softcapping", last);
        }

        long period = second ? 2 : 6;
        long pattern = second ? 2 : config.OptionalPositive("sliding_window_pattern") ?? config.OptionalPositive("_sliding_window_pattern") ?? period;
        IReadOnlyList<string>? types = config.Texts("layer_types");
        if ((types is null && pattern != period) || (types is not null && types.Where((t, layer) => t != ((layer + 1) % period == 0 ? "full_attention" : "sliding_attention")).Any()))
        {
            throw NotPossible($"llama.cpp has every layer of {Architecture} local but those whose number {period} divides; this model has others");
        }

        double local = config.Section("rope_parameters")?.Section("sliding_attention")?.Number("rope_theta", GemmaLocalTheta) ?? config.Number("rope_local_base_freq", GemmaLocalTheta);
        if (!second && local != GemmaLocalTheta)
        {
            throw NotPossible(FormattableString.Invariant($"local layers have rotary embeddings of base {local}; llama.cpp has {GemmaLocalTheta}"));
        }

        metadata.Add($"{Architecture}.attention.sliding_window", (uint)config.Positive("sliding_window", 4096));

        float? Cap(string name, float fallback) => config.Mentions(name) ? config.OptionalNumber(name) : second ? fallback : null;
    }
}
