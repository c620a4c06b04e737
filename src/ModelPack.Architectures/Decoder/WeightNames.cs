using System.Collections.Immutable;
using System.Globalization;

namespace ModelPack.Architectures.Decoder;

/// <summary>
/// The names a family gives to roles: what a table does not name, the model does not have. <c>{n}</c> stands for the number of the layer, <c>{e}</c> for that of the expert.
/// </summary>
/// <param name="ByRole">Name by role.</param>
internal sealed record WeightNames(ImmutableDictionary<WeightRole, string> ByRole)
{
    private const string LayerPrefix = "model.layers.{n}.";

    /// <summary>The names of Llama, which most families keep.</summary>
    public static WeightNames Llama { get; } = new(new Dictionary<WeightRole, string>
    {
        [WeightRole.Embedding] = "model.embed_tokens.weight",
        [WeightRole.Head] = "lm_head.weight",
        [WeightRole.FinalNorm] = "model.norm.weight",
        [WeightRole.AttentionNorm] = LayerPrefix + "input_layernorm.weight",
        [WeightRole.Query] = LayerPrefix + "self_attn.q_proj.weight",
        [WeightRole.Key] = LayerPrefix + "self_attn.k_proj.weight",
        [WeightRole.Value] = LayerPrefix + "self_attn.v_proj.weight",
        [WeightRole.Output] = LayerPrefix + "self_attn.o_proj.weight",
        [WeightRole.MlpNorm] = LayerPrefix + "post_attention_layernorm.weight",
        [WeightRole.Gate] = LayerPrefix + "mlp.gate_proj.weight",
        [WeightRole.Up] = LayerPrefix + "mlp.up_proj.weight",
        [WeightRole.Down] = LayerPrefix + "mlp.down_proj.weight",
    }.ToImmutableDictionary());

    /// <summary>True when the family has such a tensor.</summary>
    public bool Has(WeightRole role) => ByRole.ContainsKey(role);

    /// <summary>The name of a role in a layer, and for an expert.</summary>
    public string Of(WeightRole role, int layer = 0, int expert = 0) => ByRole[role]
        .Replace("{n}", layer.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)
        .Replace("{e}", expert.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal);

    /// <summary>The table with other names for some roles, given as they stand in a layer.</summary>
    public WeightNames With(params ReadOnlySpan<(WeightRole Role, string NameInLayer)> names)
    {
        ImmutableDictionary<WeightRole, string>.Builder table = ByRole.ToBuilder();
        foreach ((WeightRole role, string name) in names)
        {
            table[role] = LayerPrefix + name;
        }

        return new WeightNames(table.ToImmutable());
    }

    /// <summary>The table without some roles.</summary>
    public WeightNames Without(params ReadOnlySpan<WeightRole> roles)
    {
        ImmutableDictionary<WeightRole, string>.Builder table = ByRole.ToBuilder();
        foreach (WeightRole role in roles)
        {
            table.Remove(role);
        }

        return new WeightNames(table.ToImmutable());
    }
}
