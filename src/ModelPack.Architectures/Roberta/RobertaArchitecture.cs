using ModelPack.Architectures.Decoder;
using ModelPack.Architectures.Encoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>RoBERTa (Liu et al. 2019), XLM-RoBERTa and CamemBERT: BERT with positions that are counted behind the padding token. Definition: transformers, <c>models/roberta/modeling_roberta.py</c>.</summary>
internal sealed class RobertaArchitecture : IArchitecture
{
    private static readonly EncoderNames Names = EncoderNames.Bert with
    {
        Prefix = "roberta.",
        MaskedDense = "lm_head.dense",
        MaskedNorm = "lm_head.layer_norm",
        MaskedBias = "lm_head.bias",
        MaskedTable = "lm_head.decoder",
        SequenceDense = "classifier.dense",
        Sequence = "classifier.out_proj",
    };

    public string ClassName => "RobertaModel";

    public string Summary => "encoder: as BERT, positions counted behind the padding token; also XLM-RoBERTa and CamemBERT";

    public bool Claims(ModelConfig config) => EncoderSpec.IsClass(config.Architecture, "Roberta", "XLMRoberta", "Camembert");

    public string? Extra(ModelConfig config, string name) => Describe(config).Extra(name);

    public Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form) => EncoderGraph.Build(Describe(config), weights, form);

    private static EncoderSpec Describe(ModelConfig config) => EncoderSpec.Read(config, Names, new EncoderKeys()) with
    {
        TokenTypes = config.Positive("type_vocab_size", 2),
        PositionsAfter = config.NotNegative("pad_token_id", 1),
        MaskedActivation = Activation.Gelu,
    };
}
