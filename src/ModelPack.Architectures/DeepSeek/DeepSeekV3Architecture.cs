using ModelPack.Architectures.Decoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>
/// DeepSeek-V3 and R1: latent attention; experts by sigmoids with a correction, from groups that are worth their two best. Definition: deepseek-ai/DeepSeek-V3, <c>inference/model.py</c>; names as in transformers,
/// <c>models/deepseek_v3</c>.
/// </summary>
internal sealed class DeepSeekV3Architecture : IArchitecture
{
    public string ClassName => "DeepseekV3ForCausalLM";

    public string Summary => "latent attention, experts by corrected sigmoids in groups";

    public bool Claims(ModelConfig config) => config.Architecture == ClassName;

    public string? Extra(ModelConfig config, string name) => DeepSeekSpec.IsOfFurtherPrediction(config, name) ? "of layers that predict further tokens (MTP)" : null;

    public Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form)
    {
        if (config.Text("scoring_func") is string rule and not "sigmoid")
        {
            throw config.Unsupported("scoring_func", $"is '{rule}'; for this class there is: sigmoid");
        }

        DecoderSpec spec = DeepSeekSpec.Read(config, new DeepSeekDefaults(256, 8, 2048, 1, 3, Normalized: true, Scale: 2.5));
        return DecoderGraph.Build(spec with { Experts = spec.Experts!.WithGroups(config, byTwo: true) with { Sigmoid = true, Corrected = true } }, weights, form);
    }
}
