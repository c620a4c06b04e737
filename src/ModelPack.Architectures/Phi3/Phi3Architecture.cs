using ModelPack.Architectures.Decoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>Phi 3 and 4, dense: projections joined (query, key, value; gate, up), possibly only part of each head turned. Definition: transformers, <c>models/phi3/modeling_phi3.py</c>.</summary>
internal sealed class Phi3Architecture : IArchitecture
{
    private static readonly WeightNames Names = WeightNames.Llama
        .Without(WeightRole.Query, WeightRole.Key, WeightRole.Value, WeightRole.Gate, WeightRole.Up)
        .With((WeightRole.QueryKeyValue, "self_attn.qkv_proj.weight"), (WeightRole.GateUp, "mlp.gate_up_proj.weight"));

    public string ClassName => "Phi3ForCausalLM";

    public string Summary => "Llama with joined projections and partial rotary embedding";

    public bool Claims(ModelConfig config) => config.Architecture == ClassName;

    public Graph Build(ModelConfig config, CheckpointWeights weights, GraphForm form)
    {
        DecoderSpec spec = DecoderSpec.Read(config, Names, new DecoderDefaults(NormEpsilon: 1e-5));
        return DecoderGraph.Build(spec.WithWindows(config, config.OptionalPositive("sliding_window"), static _ => true), weights, form);
    }
}
