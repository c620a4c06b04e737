using ModelPack.Architectures.Decoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>
/// BitNet b1.58 2B4T (arXiv 2504.12285): Llama with squared ReLU and norms before the output and down projections. Weights are taken as latent, and ternarised, where the configuration says so. Definition:
/// transformers, <c>models/bitnet/modeling_bitnet.py</c>.
/// </summary>
internal sealed class BitNetArchitecture : IArchitecture
{
    private static readonly WeightNames Names = WeightNames.Llama.With((WeightRole.AttentionSubNorm, "self_attn.attn_sub_norm.weight"), (WeightRole.MlpSubNorm, "mlp.ffn_sub_norm.weight"));

    public string ClassName => "BitNetForCausalLM";

    public string Summary => "squared ReLU, norms before output and down projections, ternary weights";

    public bool Claims(ModelConfig config) => config.Architecture == ClassName;

    public Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form)
    {
        BitNetDeclaration.RefusePacked(config, weights);
        bool bias = config.Flag("attention_bias", false);
        DecoderSpec spec = DecoderSpec.Read(config, Names, new DecoderDefaults(KeyValueHeads: 5, NormEpsilon: 1e-5, RopeTheta: 500_000, Activation: "relu2"));
        return DecoderGraph.Build(spec with { Ternary = BitNetDeclaration.In(config), QueryKeyValueBias = bias, OutputBias = bias }, weights, form);
    }
}
