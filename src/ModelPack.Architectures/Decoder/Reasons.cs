namespace ModelPack.Architectures.Decoder;

/// <summary>What of the configuration the shape of a weight follows from, for messages.</summary>
internal static class Reasons
{
    public static string Of(WeightRole role) => role switch
    {
        WeightRole.Query => "num_attention_heads * head_dim, hidden_size",
        WeightRole.Key or WeightRole.Value => "num_key_value_heads * head_dim, hidden_size",
        WeightRole.QueryKeyValue => "(num_attention_heads + 2 num_key_value_heads) * head_dim, hidden_size",
        WeightRole.Output => "hidden_size, num_attention_heads * head_dim",
        WeightRole.Gate or WeightRole.Up => "intermediate_size, hidden_size",
        WeightRole.GateUp => "2 intermediate_size, hidden_size",
        WeightRole.Down => "hidden_size, intermediate_size",
        WeightRole.Router => "the number of experts, hidden_size",
        WeightRole.ExpertGate or WeightRole.ExpertUp => "the width of an expert, hidden_size",
        WeightRole.ExpertDown => "hidden_size, the width of an expert",
        _ => "vocab_size, hidden_size",
    };
}
