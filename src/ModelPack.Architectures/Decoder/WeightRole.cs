namespace ModelPack.Architectures.Decoder;

/// <summary>What a tensor is for in a dense decoder. Linear weights are [out, in]; their biases, where the model has them, are named like them with <c>bias</c> for <c>weight</c>.</summary>
internal enum WeightRole
{
    /// <summary>Rows per word, [vocab, hidden].</summary>
    Embedding,

    /// <summary>Scores per word, [vocab, hidden]; the embedding itself in tied models.</summary>
    Head,

    /// <summary>Gain of the norm before the head, [hidden].</summary>
    FinalNorm,

    /// <summary>Gain of the norm before attention, [hidden].</summary>
    AttentionNorm,

    /// <summary>Gain of the norm between attention and residual, [hidden].</summary>
    AttentionOutputNorm,

    /// <summary>Gain of the norm before the MLP, [hidden].</summary>
    MlpNorm,

    /// <summary>Gain of the norm between MLP and residual, [hidden].</summary>
    MlpOutputNorm,

    /// <summary>[heads * head_dim, hidden].</summary>
    Query,

    /// <summary>[kv_heads * head_dim, hidden].</summary>
    Key,

    /// <summary>[kv_heads * head_dim, hidden].</summary>
    Value,

    /// <summary>The three above, one after the other.</summary>
    QueryKeyValue,

    /// <summary>Gain per channel of a head, [head_dim], of queries before they are rotated.</summary>
    QueryNorm,

    /// <summary>The same for keys.</summary>
    KeyNorm,

    /// <summary>Gain of the norm before the output projection, [heads * head_dim].</summary>
    AttentionSubNorm,

    /// <summary>[hidden, heads * head_dim].</summary>
    Output,

    /// <summary>[intermediate, hidden], through the activation.</summary>
    Gate,

    /// <summary>[intermediate, hidden].</summary>
    Up,

    /// <summary>The two above, one after the other.</summary>
    GateUp,

    /// <summary>Gain of the norm before the down projection, [intermediate].</summary>
    MlpSubNorm,

    /// <summary>[hidden, intermediate].</summary>
    Down,

    /// <summary>Scores per expert, [experts, hidden].</summary>
    Router,

    /// <summary>Added to the shares of experts to choose them, [experts].</summary>
    RouterCorrection,

    /// <summary>As <see cref="Gate"/>, of the MLP beside the experts.</summary>
    SharedGate,

    /// <summary>As <see cref="Up"/>, of the same.</summary>
    SharedUp,

    /// <summary>As <see cref="Down"/>, of the same.</summary>
    SharedDown,

    /// <summary>Latent attention: to the vector that queries come from, [query rank, hidden].</summary>
    QueryDown,

    /// <summary>Gain of the norm of that vector.</summary>
    QueryDownNorm,

    /// <summary>From it to queries, [heads * (plain + rotary), query rank].</summary>
    QueryUp,

    /// <summary>To the vector that keys and values come from, and the key common to all heads, [rank + rotary, hidden].</summary>
    KeyValueDown,

    /// <summary>Gain of the norm of that vector.</summary>
    KeyValueNorm,

    /// <summary>From it to keys and values, head by head, [heads * (plain + value), rank].</summary>
    KeyValueUp,

    /// <summary>As <see cref="Gate"/>, of one expert.</summary>
    ExpertGate,

    /// <summary>As <see cref="Up"/>, of one expert.</summary>
    ExpertUp,

    /// <summary>As <see cref="Down"/>, of one expert.</summary>
    ExpertDown,
}
