using ModelPack.Architectures.Decoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>Mistral: Llama with a sliding window in every layer. Definition: transformers, <c>models/mistral/modeling_mistral.py</c>.</summary>
internal sealed class MistralArchitecture : IArchitecture
{
    private const long DefaultWindow = 4096;

    public string ClassName => "MistralForCausalLM";

    public string Summary => "Llama with a sliding window in every layer";

    public bool Claims(ModelConfig config) => config.Architecture == ClassName;

    public Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form)
    {
        // null says that there is no window; a configuration that does not speak of it means the default.
        long? window = config.Mentions("sliding_window") ? config.OptionalPositive("sliding_window") : DefaultWindow;
        DecoderSpec spec = DecoderSpec.Read(config, WeightNames.Llama, new DecoderDefaults(KeyValueHeads: 8));
        return DecoderGraph.Build(spec.WithWindows(config, window, static _ => true), weights, form);
    }
}
