using ModelPack.Architectures.Encoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>BERT (Devlin et al. 2018) and all that kept its class: MiniLM, BGE, E5 and GTE among them. Definition: transformers, <c>models/bert/modeling_bert.py</c>.</summary>
internal sealed class BertArchitecture : IArchitecture
{
    public string ClassName => "BertModel";

    public string Summary => "encoder: absolute positions, token types, GELU, norms behind the sums; bare, for masked words, or with classes of texts or tokens";

    public bool Claims(ModelConfig config) => EncoderSpec.IsClass(config.Architecture, "Bert");

    public string? Extra(ModelConfig config, string name) => Describe(config).Extra(name);

    public Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form) => EncoderGraph.Build(Describe(config), weights, form);

    private static EncoderSpec Describe(ModelConfig config) => EncoderSpec.Read(config, EncoderNames.Bert, new EncoderKeys()) with { TokenTypes = config.Positive("type_vocab_size", 2) };
}
