using ModelPack.Architectures.Decoder;
using ModelPack.Architectures.Encoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>MPNet (Song et al. 2020): RoBERTa without token types, with a bias of attention per distance that all layers share. Definition: transformers, <c>models/mpnet/modeling_mpnet.py</c>.</summary>
internal sealed class MPNetArchitecture : IArchitecture
{
    private static readonly EncoderNames Names = new(
        "mpnet.", "encoder.layer.{n}.",
        "attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o", "attention.LayerNorm",
        "intermediate.dense", "output.dense", "output.LayerNorm",
        "lm_head.dense", "lm_head.layer_norm", "lm_head.bias", "lm_head.decoder",
        "classifier.dense", "classifier.out_proj");

    public string ClassName => "MPNetModel";

    public string Summary => "encoder: as RoBERTa, without token types, a bias of attention per distance";

    public bool Claims(ModelConfig config) => EncoderSpec.IsClass(config.Architecture, "MPNet");

    public string? Extra(ModelConfig config, string name) => Describe(config).Extra(name);

    public Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form) => EncoderGraph.Build(Describe(config), weights, form);

    private static EncoderSpec Describe(ModelConfig config)
    {
        EncoderSpec spec = EncoderSpec.Read(config, Names, new EncoderKeys());
        long buckets = config.Positive("relative_attention_num_buckets", 32, most: 1024);
        return buckets % 4 != 0
            ? throw config.Wrong("relative_attention_num_buckets", $"is {buckets}, which 4 does not divide")
            : spec with
            {
                PositionsAfter = 1, // Fixed there, whatever pad_token_id says.
                DistanceBuckets = buckets,
                MaskedActivation = Activation.Gelu,
            };
    }
}
