using System.Collections.Immutable;
using ModelPack.Architectures.Decoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>
/// Gemma 3, text: Gemma 2 without caps of attention, with norms over heads of queries and keys, and another rotary embedding in local layers, five of six. Definition: transformers,
/// <c>models/gemma3/modeling_gemma3.py</c>.
/// </summary>
internal sealed class Gemma3Architecture : IArchitecture
{
    private const double LocalTheta = 10_000;
    private const double GlobalTheta = 1_000_000;
    private const long DefaultPattern = 6;

    private static readonly WeightNames Names = GemmaSpec.Names.With((WeightRole.QueryNorm, "self_attn.q_norm.weight"), (WeightRole.KeyNorm, "self_attn.k_norm.weight"));

    public string ClassName => "Gemma3ForCausalLM";

    public string Summary => "Gemma 2 with norms over heads, local and global layers with rotary embeddings of their own";

    public bool Claims(ModelConfig config) => config.Architecture == ClassName;

    public Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form)
    {
        if (config.Flag("use_bidirectional_attention", false))
        {
            throw config.Unsupported("use_bidirectional_attention", "is true: graphs are built for models that predict words");
        }

        var defaults = new DecoderDefaults(KeyValueHeads: 4, HeadDim: 256, RopeTheta: GlobalTheta, TiedHead: true, ActivationKey: "hidden_activation", Activation: "gelu_pytorch_tanh");
        DecoderSpec spec = GemmaSpec.Read(config, Names, defaults);
        long pattern = config.Positive("sliding_window_pattern", config.Has("_sliding_window_pattern") ? config.Positive("_sliding_window_pattern") : DefaultPattern);
        spec = spec with
        {
            AttentionSoftCap = GemmaSpec.Cap(config, "attn_logit_softcapping", null),
            LogitSoftCap = GemmaSpec.Cap(config, "final_logit_softcapping", null),
            Rotary = Rotary(config, spec.HeadDim),
        };
        return DecoderGraph.Build(spec.WithWindows(config, GemmaSpec.Window(config), layer => (layer + 1) % pattern != 0, localRotary: 1), weights, form);
    }

    /// <summary>Global first, then local: from <c>rope_parameters</c> by kind of layer, or from the older keys, where scaling concerns global layers only.</summary>
    private static ImmutableArray<RotaryEmbedding> Rotary(ModelConfig config, long headDim)
    {
        ModelConfig? byKind = config.Section("rope_parameters");
        return byKind?.Section("full_attention") is ModelConfig global
            ? [
                RotaryEmbedding.Read(config, global, GlobalTheta, headDim),
                RotaryEmbedding.Read(config, byKind.Section("sliding_attention"), LocalTheta, headDim),
            ]
            : [
                RotaryEmbedding.Read(config, config.Section("rope_scaling"), config.Number("rope_theta", GlobalTheta), headDim),
                RotaryEmbedding.Read(config, null, config.Number("rope_local_base_freq", LocalTheta), headDim),
            ];
    }
}
