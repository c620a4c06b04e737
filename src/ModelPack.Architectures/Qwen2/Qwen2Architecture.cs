using ModelPack.Architectures.Decoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>Qwen 2 and 2.5: Llama with biases of query, key and value, and a sliding window in the upper layers where the configuration switches it on. Definition: transformers, <c>models/qwen2/modeling_qwen2.py</c>.</summary>
internal sealed class Qwen2Architecture : IArchitecture
{
    public string ClassName => "Qwen2ForCausalLM";

    public string Summary => "Llama with biases of query, key and value";

    public bool Claims(ModelConfig config) => config.Architecture == ClassName;

    public Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form)
    {
        DecoderSpec spec = DecoderSpec.Read(config, WeightNames.Llama, new DecoderDefaults(KeyValueHeads: 32)) with { QueryKeyValueBias = true };
        return DecoderGraph.Build(QwenWindows.Add(spec, config), weights, form);
    }
}
