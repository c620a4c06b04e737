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

    private static readonly FrozenDictionary<string, GgufFamily> ByClass = new Dictionary<string, GgufFamily>(StringComparer.Ordinal)
    {
        ["LlamaForCausalLM"] = new("llama", interleaved: true),
        ["MistralForCausalLM"] = new("llama", interleaved: true),
        ["Qwen2ForCausalLM"] = new("qwen2", interleaved: false),
        ["Qwen3ForCausalLM"] = new("qwen3", interleaved: false),
    }.ToFrozenDictionary(StringComparer.Ordinal);

    private static readonly FrozenDictionary<string, string> Ends = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["model.embed_tokens"] = "token_embd",
        ["model.norm"] = "output_norm",
        ["lm_head"] = "output",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    private static readonly FrozenDictionary<string, string> LayerParts = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["input_layernorm"] = "attn_norm",
        ["self_attn.q_proj"] = "attn_q",
        ["self_attn.k_proj"] = "attn_k",
        ["self_attn.v_proj"] = "attn_v",
        ["self_attn.o_proj"] = "attn_output",
        ["self_attn.q_norm"] = "attn_q_norm",
        ["self_attn.k_norm"] = "attn_k_norm",
        ["post_attention_layernorm"] = "ffn_norm",
        ["mlp.gate_proj"] = "ffn_gate",
        ["mlp.up_proj"] = "ffn_up",
        ["mlp.down_proj"] = "ffn_down",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    private readonly bool _interleaved;

    private GgufFamily(string architecture, bool interleaved)
    {
        Architecture = architecture;
        _interleaved = interleaved;
    }

    /// <summary>Value of <c>general.architecture</c>, and prefix of its keys.</summary>
    public string Architecture { get; }

    /// <summary>The family of a checkpoint.</summary>
    /// <exception cref="ModelPackException">MP4107: none that is written.</exception>
    public static GgufFamily Of(ModelConfig config) => ByClass.GetValueOrDefault(config.Architecture)
        ?? throw new ModelPackException(ExportNotPossible, $"{config.Architecture} is not written as GGUF; there are: {string.Join(", ", ByClass.Keys.Order(StringComparer.Ordinal))}");

    /// <summary>The name of a tensor; null for one that llama.cpp has no place for.</summary>
    public static string? Name(string tensor)
    {
        int dot = tensor.LastIndexOf('.');
        string kind = tensor[(dot + 1)..];
        if (dot < 0 || kind is not ("weight" or "bias"))
        {
            return null;
        }

        string module = tensor[..dot];
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
        return part > 0 && rest[..part].All(char.IsAsciiDigit) && LayerParts.TryGetValue(rest[(part + 1)..], out string? name)
            ? $"blk.{rest[..part]}.{name}.{kind}"
            : null;
    }

    /// <summary>The weights without which llama.cpp does not load the file.</summary>
    /// <param name="layers">Number of layers.</param>
    public IEnumerable<string> Required(int layers)
    {
        yield return "token_embd.weight";
        yield return "output_norm.weight";
        string[] parts = Architecture == "qwen3" ? [.. LayerParts.Values] : [.. LayerParts.Values.Where(p => !p.EndsWith("q_norm", StringComparison.Ordinal) && !p.EndsWith("k_norm", StringComparison.Ordinal))];
        for (int layer = 0; layer < layers; layer++)
        {
            foreach (string part in parts.Order(StringComparer.Ordinal))
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
    public Func<long, long>? Rows(string name, int headDim) => _interleaved && (name.Contains(".attn_q.", StringComparison.Ordinal) || name.Contains(".attn_k.", StringComparison.Ordinal))
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
        if (config.Text("hidden_act") is string activation and not "silu")
        {
            throw new ModelPackException(ExportNotPossible, $"config.json: 'hidden_act' is {activation}; llama.cpp computes {Architecture} with silu");
        }

        uint Count(string key, long? fallback = null) => (uint)config.Positive(key, fallback);
        uint heads = Count("num_attention_heads");
        uint hidden = Count("hidden_size");
        uint dim = Count("head_dim", Math.Max(1, hidden / heads));
        metadata.Add($"{Architecture}.context_length", Count("max_position_embeddings"));
        metadata.Add($"{Architecture}.embedding_length", hidden);
        metadata.Add($"{Architecture}.block_count", Count("num_hidden_layers"));
        metadata.Add($"{Architecture}.feed_forward_length", Count("intermediate_size"));
        metadata.Add($"{Architecture}.attention.head_count", heads);
        metadata.Add($"{Architecture}.attention.head_count_kv", Count("num_key_value_heads", heads));
        metadata.Add($"{Architecture}.attention.layer_norm_rms_epsilon", (float)config.Number("rms_norm_eps", 1e-6));
        if (dim * heads != hidden || Architecture == "qwen3")
        {
            metadata.Add($"{Architecture}.attention.key_length", dim);
            metadata.Add($"{Architecture}.attention.value_length", dim);
        }

        metadata.Add($"{Architecture}.rope.dimension_count", dim);
        metadata.Add($"{Architecture}.vocab_size", Count("vocab_size"));
        return GgufRope.Describe(config, Architecture, (int)dim, metadata);
    }
}
