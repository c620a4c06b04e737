using ModelPack.Architectures.Decoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>Mixtral: Mistral with a choice of experts in every layer. Definition: transformers, <c>models/mixtral/modeling_mixtral.py</c>.</summary>
internal sealed class MixtralArchitecture : IArchitecture
{
    private static readonly WeightNames Names = WeightNames.Llama.Without(WeightRole.Gate, WeightRole.Up, WeightRole.Down).With(
        (WeightRole.Router, "block_sparse_moe.gate.weight"),
        (WeightRole.ExpertGate, "block_sparse_moe.experts.{e}.w1.weight"),
        (WeightRole.ExpertUp, "block_sparse_moe.experts.{e}.w3.weight"),
        (WeightRole.ExpertDown, "block_sparse_moe.experts.{e}.w2.weight"));

    public string ClassName => "MixtralForCausalLM";

    public string Summary => "Mistral with a choice of experts in every layer";

    public bool Claims(ModelConfig config) => config.Architecture == ClassName;

    public Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form)
    {
        DecoderSpec spec = DecoderSpec.Read(config, Names, new DecoderDefaults(KeyValueHeads: 8, NormEpsilon: 1e-5, RopeTheta: 1e6));
        long? window = config.OptionalPositive("sliding_window");
        spec = spec.WithWindows(config, window, _ => window is not null) with
        {
            Experts = ExpertSpec.Read(config, "num_local_experts", 8, 2, spec.Intermediate, normalized: true, [.. spec.Attention.Select(_ => true)]),
        };
        return DecoderGraph.Build(spec, weights, form);
    }
}
