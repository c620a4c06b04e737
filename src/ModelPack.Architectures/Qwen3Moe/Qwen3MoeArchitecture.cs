using ModelPack.Architectures.Decoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>Qwen 3 with experts in the layers that its configuration lists. Definition: transformers, <c>models/qwen3_moe/modeling_qwen3_moe.py</c>.</summary>
internal sealed class Qwen3MoeArchitecture : IArchitecture
{
    private static readonly WeightNames Names = WeightNames.Llama.With(
        (WeightRole.QueryNorm, "self_attn.q_norm.weight"),
        (WeightRole.KeyNorm, "self_attn.k_norm.weight"),
        (WeightRole.Router, "mlp.gate.weight"),
        (WeightRole.ExpertGate, "mlp.experts.{e}.gate_proj.weight"),
        (WeightRole.ExpertUp, "mlp.experts.{e}.up_proj.weight"),
        (WeightRole.ExpertDown, "mlp.experts.{e}.down_proj.weight"));

    public string ClassName => "Qwen3MoeForCausalLM";

    public string Summary => "Qwen 3 with experts in some or all layers";

    public bool Claims(ModelConfig config) => config.Architecture == ClassName;

    public Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form)
    {
        // Which layers have windows changed from version to version of the definition; published models have none.
        if (config.Flag("use_sliding_window", false))
        {
            throw config.Unsupported("use_sliding_window", "is true");
        }

        bool bias = config.Flag("attention_bias", false);
        DecoderSpec spec = DecoderSpec.Read(config, Names, new DecoderDefaults(KeyValueHeads: 4));
        long step = config.Positive("decoder_sparse_step", 1);
        HashSet<long> dense = [.. config.Integers("mlp_only_layers")];
        spec = spec with
        {
            QueryKeyValueBias = bias,
            OutputBias = bias,
            Experts = ExpertSpec.Read(
                config,
                config.Has("num_experts") || !config.Has("num_local_experts") ? "num_experts" : "num_local_experts",
                128,
                8,
                config.Positive("moe_intermediate_size", 768),
                config.Flag("norm_topk_prob", false),
                [.. spec.Attention.Select((_, layer) => !dense.Contains(layer) && (layer + 1) % step == 0)]),
        };
        return DecoderGraph.Build(spec, weights, form);
    }
}
