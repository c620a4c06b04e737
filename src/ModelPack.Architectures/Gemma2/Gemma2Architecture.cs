using ModelPack.Architectures.Decoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>
/// Gemma 2: gains stored less one, embedding times sqrt(hidden), norms before and after attention and MLP, soft caps, every other layer local. Definition: transformers, <c>models/gemma2/modeling_gemma2.py</c>.
/// </summary>
internal sealed class Gemma2Architecture : IArchitecture
{
    private const double DefaultAttentionCap = 50;
    private const double DefaultLogitCap = 30;

    public string ClassName => "Gemma2ForCausalLM";

    public string Summary => "norms around attention and MLP, soft caps, every other layer local";

    public bool Claims(ModelConfig config) => config.Architecture == ClassName;

    public Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form)
    {
        DecoderSpec spec = GemmaSpec.Read(config, GemmaSpec.Names, new DecoderDefaults(KeyValueHeads: 4, HeadDim: 256, TiedHead: true, ActivationKey: "hidden_activation", Activation: "gelu_pytorch_tanh")) with
        {
            AttentionSoftCap = GemmaSpec.Cap(config, "attn_logit_softcapping", DefaultAttentionCap),
            LogitSoftCap = GemmaSpec.Cap(config, "final_logit_softcapping", DefaultLogitCap),
        };
        return DecoderGraph.Build(spec.WithWindows(config, GemmaSpec.Window(config), static layer => layer % 2 == 0), weights, form);
    }
}
