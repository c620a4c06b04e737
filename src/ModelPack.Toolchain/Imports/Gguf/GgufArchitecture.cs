using System.Collections.Frozen;

namespace ModelPack.Toolchain;

/// <summary>What llama.cpp calls the parts of an architecture, and what the checkpoint of it calls them.</summary>
/// <param name="ClassName">Of config.json.</param>
/// <param name="Parts">Modules of a layer by their names in the file.</param>
/// <param name="Interleaved">Neighbouring elements of a head turn together: rows of queries and keys have changed places.</param>
/// <param name="GainsLessOne">The checkpoint stores the gains of norms less one.</param>
/// <remarks>Source: llama.cpp, <c>convert_hf_to_gguf.py</c> and <c>gguf-py/gguf/tensor_mapping.py</c>.</remarks>
internal sealed record GgufArchitecture(string ClassName, FrozenDictionary<string, string> Parts, bool Interleaved = false, bool GainsLessOne = false)
{
    private static readonly (string Gguf, string Hf)[] Plain =
    [
        ("attn_norm", "input_layernorm"), ("attn_q", "self_attn.q_proj"), ("attn_k", "self_attn.k_proj"), ("attn_v", "self_attn.v_proj"), ("attn_output", "self_attn.o_proj"),
        ("ffn_norm", "post_attention_layernorm"), ("ffn_gate", "mlp.gate_proj"), ("ffn_up", "mlp.up_proj"), ("ffn_down", "mlp.down_proj"),
    ];

    private static readonly (string Gguf, string Hf)[] HeadNorms = [("attn_q_norm", "self_attn.q_norm"), ("attn_k_norm", "self_attn.k_norm")];

    private static readonly (string Gguf, string Hf)[] AroundNorms = [("post_attention_norm", "post_attention_layernorm"), ("ffn_norm", "pre_feedforward_layernorm"), ("post_ffw_norm", "post_feedforward_layernorm")];

    private static readonly FrozenDictionary<string, GgufArchitecture> ByName = new Dictionary<string, GgufArchitecture>(StringComparer.Ordinal)
    {
        ["llama"] = new("LlamaForCausalLM", Named(Plain), Interleaved: true),
        ["qwen2"] = new("Qwen2ForCausalLM", Named(Plain)),
        ["qwen3"] = new("Qwen3ForCausalLM", Named(Plain, HeadNorms)),
        ["gemma2"] = new("Gemma2ForCausalLM", Named(Plain, AroundNorms), GainsLessOne: true),
        ["gemma3"] = new("Gemma3ForCausalLM", Named(Plain, AroundNorms, HeadNorms), GainsLessOne: true),
        ["phi3"] = new("Phi3ForCausalLM", Named(Plain, [("attn_qkv", "self_attn.qkv_proj"), ("ffn_up", "mlp.gate_up_proj")])),
    }.ToFrozenDictionary(StringComparer.Ordinal);

    private static readonly FrozenDictionary<string, string> Ends = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["token_embd"] = "model.embed_tokens",
        ["output_norm"] = "model.norm",
        ["output"] = "lm_head",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>The architecture of a file; null for one that is not built.</summary>
    public static GgufArchitecture? Find(string name) => ByName.GetValueOrDefault(name);

    /// <summary>All names.</summary>
    public static IEnumerable<string> Names => ByName.Keys.Order(StringComparer.Ordinal);

    /// <summary>The checkpoint's name of a tensor; null where it has none.</summary>
    public string? Name(string tensor)
    {
        if (GgufTensorNames.Split(tensor) is not (string module, string kind))
        {
            return null;
        }

        if (Ends.TryGetValue(module, out string? end))
        {
            return $"{end}.{kind}";
        }

        string[] parts = module.Split('.');
        return parts is ["blk", string layer, string part] && layer.Length > 0 && layer.All(char.IsAsciiDigit) && Parts.TryGetValue(part, out string? name) ? $"model.layers.{layer}.{name}.{kind}" : null;
    }

    /// <summary>Where a row of queries or keys lies in the file: row h·d + j·d/2 + i at h·d + 2i + j. Null: rows are where they belong.</summary>
    /// <param name="tensor">The name in the file.</param>
    /// <param name="headDim">Rows of a head.</param>
    public Func<long, long>? Rows(string tensor, int headDim) => Interleaved && (tensor.Contains(".attn_q.", StringComparison.Ordinal) || tensor.Contains(".attn_k.", StringComparison.Ordinal))
        ? row =>
        {
            (long head, long at) = Math.DivRem(row, headDim);
            (long half, long i) = Math.DivRem(at, headDim / 2);
            return (head * headDim) + (2 * i) + half;
        }
    : null;

    private static FrozenDictionary<string, string> Named(params (string Gguf, string Hf)[][] parts)
    {
        var names = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach ((string gguf, string hf) in parts.SelectMany(p => p))
        {
            names[gguf] = hf; // The last one counts: norms and joined projections take the place of the plain ones.
        }

        return names.ToFrozenDictionary(StringComparer.Ordinal);
    }
}
