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
        WeightRole.SharedGate or WeightRole.SharedUp => "n_shared_experts * moe_intermediate_size, hidden_size",
        WeightRole.SharedDown => "hidden_size, n_shared_experts * moe_intermediate_size",
        WeightRole.QueryDown => "q_lora_rank, hidden_size",
        WeightRole.QueryUp => "num_attention_heads * (qk_nope_head_dim + qk_rope_head_dim), q_lora_rank",
        WeightRole.KeyValueDown => "kv_lora_rank + qk_rope_head_dim, hidden_size",
        WeightRole.KeyValueUp => "num_attention_heads * (qk_nope_head_dim + v_head_dim), kv_lora_rank",
        WeightRole.Router => "the number of experts, hidden_size",
        WeightRole.ExpertGate or WeightRole.ExpertUp => "the width of an expert, hidden_size",
        WeightRole.ExpertDown => "hidden_size, the width of an expert",
        _ => "vocab_size, hidden_size",
    };
}
