using ModelPack.Architectures.Decoder;

namespace ModelPack.Architectures;

/// <summary>Sliding windows of Qwen 2 and 3: off unless <c>use_sliding_window</c>, then from layer <c>max_window_layers</c> on.</summary>
internal static class QwenWindows
{
    private const long DefaultWindow = 4096;
    private const long DefaultFirstLayer = 28;

    public static DecoderSpec Add(DecoderSpec spec, ModelConfig config)
    {
        long? window = !config.Flag("use_sliding_window", false) ? null
            : config.Mentions("sliding_window") ? config.OptionalPositive("sliding_window")
            : DefaultWindow;
        long first = config.NotNegative("max_window_layers", DefaultFirstLayer);
        return spec.WithWindows(config, window, layer => window is not null && layer >= first);
    }
}
