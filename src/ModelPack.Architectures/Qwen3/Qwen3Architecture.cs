using ModelPack.Architectures.Decoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>Qwen 3, dense: Llama with a norm over every head of queries and keys. Definition: transformers, <c>models/qwen3/modeling_qwen3.py</c>.</summary>
internal sealed class Qwen3Architecture : IArchitecture
{
    private static readonly WeightNames Names = WeightNames.Llama.With((WeightRole.QueryNorm, "self_attn.q_norm.weight"), (WeightRole.KeyNorm, "self_attn.k_norm.weight"));

    public string ClassName => "Qwen3ForCausalLM";

    public string Summary => "Llama with norms over the heads of queries and keys";

    public bool Claims(ModelConfig config) => config.Architecture == ClassName;

    public Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form)
    {
        bool bias = config.Flag("attention_bias", false);
        DecoderSpec spec = DecoderSpec.Read(config, Names, new DecoderDefaults(KeyValueHeads: 32, HeadDim: 128)) with { QueryKeyValueBias = bias, OutputBias = bias };
        return DecoderGraph.Build(QwenWindows.Add(spec, config), weights, form);
    }
}
