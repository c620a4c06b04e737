using ModelPack.Architectures.Encoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>DistilBERT (Sanh et al. 2019): BERT with half of its layers, without token types and pooler. Definition: transformers, <c>models/distilbert/modeling_distilbert.py</c>.</summary>
internal sealed class DistilBertArchitecture : IArchitecture
{
    private static readonly EncoderNames Names = new(
        "distilbert.", "transformer.layer.{n}.",
        "attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "sa_layer_norm",
        "ffn.lin1", "ffn.lin2", "output_layer_norm",
        "vocab_transform", "vocab_layer_norm", "vocab_projector.bias", "vocab_projector",
        "pre_classifier", "classifier");

    public string ClassName => "DistilBertModel";

    public string Summary => "encoder: as BERT, without token types and pooler";

    public bool Claims(ModelConfig config) => EncoderSpec.IsClass(config.Architecture, "DistilBert");

    public string? Extra(ModelConfig config, string name) => Describe(config).Extra(name);

    public Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form) => EncoderGraph.Build(Describe(config), weights, form);

    private static EncoderSpec Describe(ModelConfig config) => EncoderSpec.Read(config, Names, new EncoderKeys("dim", "n_heads", "n_layers", "hidden_dim", "activation")) with
    {
        NormEpsilon = 1e-12f, // Fixed there.
        Pooler = false,
        SequenceActivation = SequenceActivation.Relu,
    };
}
