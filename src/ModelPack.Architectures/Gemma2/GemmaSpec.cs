using ModelPack.Architectures.Decoder;

namespace ModelPack.Architectures;

/// <summary>What Gemma 2 and 3 have in common.</summary>
internal static class GemmaSpec
{
    private const long DefaultWindow = 4096;
    private const double DefaultQueryScalar = 256;

    public static WeightNames Names { get; } = WeightNames.Llama.With(
        (WeightRole.AttentionOutputNorm, "post_attention_layernorm.weight"),
        (WeightRole.MlpNorm, "pre_feedforward_layernorm.weight"),
        (WeightRole.MlpOutputNorm, "post_feedforward_layernorm.weight"));

    public static DecoderSpec Read(ModelConfig config, WeightNames names, DecoderDefaults defaults)
    {
        DecoderSpec spec = DecoderSpec.Read(config, names, defaults);
        bool bias = config.Flag("attention_bias", false);
        return spec with
        {
            GainsLessOne = true,
            QueryKeyValueBias = bias,
            OutputBias = bias,
            EmbeddingScale = (float)Math.Sqrt(spec.Hidden),
            AttentionScale = (float)(1 / Math.Sqrt(config.Number("query_pre_attn_scalar", DefaultQueryScalar))),
        };
    }

    /// <summary>A soft cap: null switches it off, silence means the default.</summary>
    public static float? Cap(ModelConfig config, string name, double? fallback) => config.Mentions(name) ? config.OptionalNumber(name) : (float?)fallback;

    /// <summary>Width of local attention.</summary>
    public static long? Window(ModelConfig config) => config.Mentions("sliding_window") ? config.OptionalPositive("sliding_window") : DefaultWindow;
}
