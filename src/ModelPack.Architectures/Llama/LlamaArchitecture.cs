using ModelPack.Architectures.Decoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>Llama 1 to 3, SmolLM and all that kept their class. Definition: transformers, <c>models/llama/modeling_llama.py</c>.</summary>
internal sealed class LlamaArchitecture : IArchitecture
{
    public string ClassName => "LlamaForCausalLM";

    public string Summary => "RMSNorm, rotary embedding, grouped heads, gated SiLU";

    public bool Claims(ModelConfig config) => config.Architecture == ClassName;

    public Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form) => DecoderGraph.Build(Describe(config), weights, form);

    /// <summary>The family as numbers; BitNet's first form builds on it.</summary>
    internal static DecoderSpec Describe(ModelConfig config)
    {
        bool bias = config.Flag("attention_bias", false);
        return DecoderSpec.Read(config, WeightNames.Llama, new DecoderDefaults()) with
        {
            QueryKeyValueBias = bias,
            OutputBias = bias,
            MlpBias = config.Flag("mlp_bias", false),
        };
    }
}
