using ModelPack.Architectures.Decoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>
/// A Llama trained as BitNet b1.58 (arXiv 2402.17764), given as its latent weights. The seven linear weights of every layer become -1, 0, 1 times their mean magnitude, which is what the model is; embedding, norms and
/// head stay as they are. Activations stay float; kernels that round them to 8 bits per token, as in training, are chosen by the plan (<c>--accuracy fast</c>).
/// </summary>
internal sealed class BitNetLlamaArchitecture : IArchitecture
{
    public string ClassName => "LlamaForCausalLM";

    public string Summary => "Llama with ternary weights (BitNet b1.58), from latent weights";

    public bool Claims(ModelConfig config) => config.Architecture == ClassName && BitNetDeclaration.In(config);

    public Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form)
    {
        BitNetDeclaration.RefusePacked(config, weights);
        return DecoderGraph.Build(LlamaArchitecture.Describe(config) with { Ternary = true }, weights, form);
    }
}
