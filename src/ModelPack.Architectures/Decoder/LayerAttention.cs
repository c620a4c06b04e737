namespace ModelPack.Architectures.Decoder;

/// <summary>How one layer looks back.</summary>
/// <param name="Window">Tokens it sees, itself included; null for all.</param>
/// <param name="Rotary">Index into <see cref="DecoderSpec.Rotary"/>.</param>
internal readonly record struct LayerAttention(long? Window, int Rotary = 0);
