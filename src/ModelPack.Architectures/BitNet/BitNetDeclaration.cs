namespace ModelPack.Architectures;

/// <summary>How checkpoints say that the linear weights of their layers are latent weights of BitNet b1.58: floats that training works on, ternary when they are used.</summary>
internal static class BitNetDeclaration
{
    private const string Method = "bitnet";
    private const string Note = "BitNet b1.58";

    /// <summary>True for <c>quantization_config</c> with <c>quant_method</c> bitnet, and for a <c>quantization_note</c> that begins with the method's name.</summary>
    public static bool In(ModelConfig config) =>
        config.Section("quantization_config")?.Text("quant_method") == Method || config.Text("quantization_note")?.StartsWith(Note, StringComparison.Ordinal) == true;

    /// <summary>Refuses what is packed already: there, weights are bytes of four codes, in an order of their own.</summary>
    /// <exception cref="ModelPackException">MP1505.</exception>
    public static void RefusePacked(ModelConfig config, CheckpointWeights weights)
    {
        if (weights.HasAny(DType.U8))
        {
            throw config.Unsupported("quantization_config", $"says {Method}, and weights are packed already; graphs are built from latent weights");
        }
    }
}
