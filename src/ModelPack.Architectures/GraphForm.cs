namespace ModelPack.Architectures;

/// <summary>What the graph of a language model takes and gives. Encoders have one form, which is called <see cref="Full"/> as well.</summary>
public enum GraphForm
{
    /// <summary><c>input_ids</c> i64 [batch, seq] to <c>logits</c> f32 [batch, seq, vocab].</summary>
    Full,

    /// <summary>
    /// As <see cref="Full"/>, with the keys and values of earlier tokens: further inputs <c>position_offset</c> i64 [] (position of the first token of <c>input_ids</c>) and, per layer,
    /// <c>past_key_values.N.key</c> and <c>.value</c> f32 [batch, kv_heads, past, head_dim]; further outputs <c>present.N.key</c> and <c>.value</c> f32 [batch, kv_heads, past + seq, head_dim].
    /// The past may be empty, and may have lost its oldest tokens where no layer looks that far back.
    /// </summary>
    Cached,

    /// <summary>As <see cref="Cached"/>, with keys and values handed on as f16: half the memory.</summary>
    CachedF16,

    /// <summary>
    /// As <see cref="Cached"/>, with keys and values handed on as i8 codes of -127 to 127, and f32 scales [batch, kv_heads, past, 1] under <c>past_key_values.N.key_scale</c> and <c>.value_scale</c>: the largest magnitude of a
    /// head of a token is 127.
    /// </summary>
    CachedInt8,

    /// <summary>
    /// As <see cref="Cached"/>, with attention in ONNX Runtime's operators GroupQueryAttention and RotaryEmbedding (com.microsoft) where the model allows it: faster by a quarter to two thirds in small models. Passes that look into
    /// attention find nothing there. Keys and values may come in buffers with room for the new tokens, and more, behind
    /// <c>position_offset</c> others: what is there is not looked at, and the outputs have as many as came in. Such an input and its output may be one memory; then only the new tokens are written.
    /// </summary>
    CachedFused,
}
