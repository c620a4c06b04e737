using ModelPack.Architectures.Decoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>DeepSeek-V2: latent attention; experts by softmax, from groups that are worth their best. Definition: deepseek-ai/DeepSeek-V2, <c>modeling_deepseek.py</c>.</summary>
internal sealed class DeepSeekV2Architecture : IArchitecture
{
    public string ClassName => "DeepseekV2ForCausalLM";

    public string Summary => "latent attention, experts by softmax, in groups or not";

    public bool Claims(ModelConfig config) => config.Architecture == ClassName;

    public Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form)
    {
        if (config.Text("scoring_func") is string rule and not "softmax")
        {
            throw config.Unsupported("scoring_func", $"is '{rule}'; for this class there is: softmax");
        }

        DecoderSpec spec = DeepSeekSpec.Read(config, new DeepSeekDefaults(64, 6, 1407, 2, 0, Normalized: false, Scale: 1));
        ExpertSpec experts = config.Text("topk_method") switch
        {
            null or "greedy" => spec.Experts!,
            "group_limited_greedy" => spec.Experts!.WithGroups(config, byTwo: false),
            string other => throw config.Unsupported("topk_method", $"is '{other}'; there are: greedy, group_limited_greedy"),
        };

        // Shares that sum to 1 are not scaled in this version.
        return DecoderGraph.Build(spec with { Experts = experts.Normalized && experts.PerToken > 1 ? experts with { Scale = 1 } : experts with { Normalized = false } }, weights, form);
    }
}
