using System.Globalization;
using ModelPack.Architectures.Decoder;

namespace ModelPack.Architectures;

/// <summary>What DeepSeek-V2 and V3 have in common: latent attention, experts with one or more that all tokens go through, dense layers first.</summary>
internal static class DeepSeekSpec
{
    private const string LayerPrefix = "model.layers.";

    /// <summary>Everything but the router's rule.</summary>
    /// <exception cref="ModelPackException">MP1503, MP1504, MP1505.</exception>
    public static DecoderSpec Read(ModelConfig config, DeepSeekDefaults defaults)
    {
        long plain = config.Positive("qk_nope_head_dim", 128);
        long rotary = config.Positive("qk_rope_head_dim", 64);
        bool bias = config.Flag("attention_bias", false);
        var latent = new LatentSpec(
            config.Mentions("q_lora_rank") ? config.OptionalPositive("q_lora_rank") : 1536, config.Positive("kv_lora_rank", 512), plain, rotary, config.Positive("v_head_dim", 128), bias);
        DecoderSpec spec = DecoderSpec.Read(config, Names(latent), new DecoderDefaults(HeadDim: rotary));
        ModelConfig? scaling = config.Section("rope_scaling") ?? config.Section("rope_parameters");
        double scale = 1 / Math.Sqrt(plain + rotary);
        if (scaling?.Has("mscale_all_dim") == true && scaling.Has("factor") && scaling.Number("factor") > 1)
        {
            double stretch = (0.1 * scaling.Number("mscale_all_dim") * DeterministicLog.Of(scaling.Number("factor"))) + 1;
            scale *= stretch * stretch;
        }

        long first = config.NotNegative("first_k_dense_replace", defaults.DenseLayers);
        long step = config.Positive("moe_layer_freq", 1);
        long width = config.Positive("moe_intermediate_size", defaults.ExpertWidth);
        return spec with
        {
            KeyValueHeads = 1,
            HeadDim = rotary,
            Latent = latent,
            AttentionScale = (float)scale,
            Rotary = [RotaryEmbedding.Read(config, scaling, config.Number("rope_theta", 10000), rotary)],
            Experts = ExpertSpec.Read(
                config, "n_routed_experts", defaults.Experts, defaults.ExpertsPerToken, width, config.Flag("norm_topk_prob", defaults.Normalized),
                [.. spec.Attention.Select((_, layer) => layer >= first && layer % step == 0)]) with
            {
                Scale = (float)config.Number("routed_scaling_factor", defaults.Scale),
                SharedIntermediate = config.NotNegative("n_shared_experts", defaults.SharedExperts) * width,
            },
        };
    }

    /// <summary>True for tensors of the layers behind the last one, which predict further tokens (MTP): a graph of the model does without.</summary>
    public static bool IsOfFurtherPrediction(ModelConfig config, string name)
    {
        if (!name.StartsWith(LayerPrefix, StringComparison.Ordinal))
        {
            return false;
        }

        ReadOnlySpan<char> rest = name.AsSpan(LayerPrefix.Length);
        int dot = rest.IndexOf('.');
        long layers = config.Positive("num_hidden_layers");
        return dot > 0 && long.TryParse(rest[..dot], NumberStyles.None, CultureInfo.InvariantCulture, out long layer) && layer >= layers && layer < layers + config.NotNegative("num_nextn_predict_layers", 0);
    }

    private static WeightNames Names(LatentSpec latent)
    {
        WeightNames names = WeightNames.Llama.Without(WeightRole.Query, WeightRole.Key, WeightRole.Value).With(
            (WeightRole.KeyValueDown, "self_attn.kv_a_proj_with_mqa.weight"),
            (WeightRole.KeyValueNorm, "self_attn.kv_a_layernorm.weight"),
            (WeightRole.KeyValueUp, "self_attn.kv_b_proj.weight"),
            (WeightRole.Router, "mlp.gate.weight"),
            (WeightRole.RouterCorrection, "mlp.gate.e_score_correction_bias"),
            (WeightRole.ExpertGate, "mlp.experts.{e}.gate_proj.weight"),
            (WeightRole.ExpertUp, "mlp.experts.{e}.up_proj.weight"),
            (WeightRole.ExpertDown, "mlp.experts.{e}.down_proj.weight"),
            (WeightRole.SharedGate, "mlp.shared_experts.gate_proj.weight"),
            (WeightRole.SharedUp, "mlp.shared_experts.up_proj.weight"),
            (WeightRole.SharedDown, "mlp.shared_experts.down_proj.weight"));
        return latent.QueryRank is null
            ? names.With((WeightRole.Query, "self_attn.q_proj.weight"))
            : names.With((WeightRole.QueryDown, "self_attn.q_a_proj.weight"), (WeightRole.QueryDownNorm, "self_attn.q_a_layernorm.weight"), (WeightRole.QueryUp, "self_attn.q_b_proj.weight"));
    }
}

/// <summary>What the two versions assume where a configuration says nothing.</summary>
/// <param name="Experts">Experts of a layer.</param>
/// <param name="ExpertsPerToken">Those a token goes to.</param>
/// <param name="ExpertWidth">Width of one.</param>
/// <param name="SharedExperts">Experts that all tokens go through.</param>
/// <param name="DenseLayers">Layers before the first with experts.</param>
/// <param name="Normalized">Shares sum to 1.</param>
/// <param name="Scale">Factor of shares.</param>
internal sealed record DeepSeekDefaults(long Experts, long ExpertsPerToken, long ExpertWidth, long SharedExperts, long DenseLayers, bool Normalized, double Scale);
