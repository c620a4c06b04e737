using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Architectures.Decoder;

/// <summary>A dense decoder as numbers: all that tells one family from another, beside the table of names.</summary>
internal sealed record DecoderSpec
{
    private const int MostLayers = 10_000;
    private const int LargestHead = 1 << 16;

    /// <summary>Names by role; which roles it has decides which norms there are and which projections are joined.</summary>
    public required WeightNames Names { get; init; }

    public required long Vocabulary { get; init; }

    public required long Hidden { get; init; }

    public required long Intermediate { get; init; }

    public required long Heads { get; init; }

    /// <summary>Heads of keys and values; each serves <see cref="Heads"/> / <see cref="KeyValueHeads"/> neighbouring heads of queries.</summary>
    public required long KeyValueHeads { get; init; }

    public required long HeadDim { get; init; }

    public required float NormEpsilon { get; init; }

    public required Activation Activation { get; init; }

    /// <summary>Factor of the products of queries and keys.</summary>
    public required float AttentionScale { get; init; }

    /// <summary>One per layer.</summary>
    public required ImmutableArray<LayerAttention> Attention { get; init; }

    /// <summary>The position embeddings that layers use.</summary>
    public required ImmutableArray<RotaryEmbedding> Rotary { get; init; }

    /// <summary>The head is the embedding.</summary>
    public required bool TiedHead { get; init; }

    /// <summary>Gains of norms are stored less 1.</summary>
    public bool GainsLessOne { get; init; }

    /// <summary>Query, key and value have biases.</summary>
    public bool QueryKeyValueBias { get; init; }

    /// <summary>The output projection has a bias.</summary>
    public bool OutputBias { get; init; }

    /// <summary>Gate, up and down have biases.</summary>
    public bool MlpBias { get; init; }

    /// <summary>Factor of the embedding; null for 1.</summary>
    public float? EmbeddingScale { get; init; }

    /// <summary>Attention scores x become cap * tanh(x / cap).</summary>
    public float? AttentionSoftCap { get; init; }

    /// <summary>The same for logits.</summary>
    public float? LogitSoftCap { get; init; }

    /// <summary>Linear weights of the layers are latent weights of a ternary model: they become -1, 0, 1 times their mean magnitude.</summary>
    public bool Ternary { get; init; }

    /// <summary>Attention from short vectors; null: plain heads.</summary>
    public LatentSpec? Latent { get; init; }

    /// <summary>Layers with experts in the place of an MLP; null for none.</summary>
    public ExpertSpec? Experts { get; init; }

    /// <summary>Reads what all families have in common. <c>null</c> and absent values take the defaults.</summary>
    /// <param name="config">The configuration.</param>
    /// <param name="names">Table of names.</param>
    /// <param name="defaults">The family's defaults.</param>
    /// <exception cref="ModelPackException">MP1503, MP1504, MP1505.</exception>
    public static DecoderSpec Read(ModelConfig config, WeightNames names, DecoderDefaults defaults)
    {
        CheckQuantization(config);
        long hidden = config.Positive("hidden_size");
        long heads = config.Positive("num_attention_heads");
        long groups = config.Positive("num_key_value_heads", defaults.KeyValueHeads ?? heads);
        if (heads % groups != 0)
        {
            throw new ModelPackException(ErrorCodes.ConfigHeads, $"{ModelConfig.FileName}: num_attention_heads is {heads}, which num_key_value_heads {groups} does not divide");
        }

        if (!config.Has("head_dim") && defaults.HeadDim is null && hidden % heads != 0)
        {
            throw new ModelPackException(ErrorCodes.ConfigHeads, $"{ModelConfig.FileName}: hidden_size is {hidden}, which num_attention_heads {heads} does not divide, and there is no head_dim");
        }

        long headDim = config.Positive("head_dim", defaults.HeadDim ?? Math.Max(1, hidden / heads), LargestHead);
        int layers = (int)config.Positive("num_hidden_layers", most: MostLayers);
        return new DecoderSpec
        {
            Names = names,
            Vocabulary = config.Positive("vocab_size"),
            Hidden = hidden,
            Intermediate = config.Positive("intermediate_size"),
            Heads = heads,
            KeyValueHeads = groups,
            HeadDim = headDim,
            NormEpsilon = (float)config.Number("rms_norm_eps", defaults.NormEpsilon),
            Activation = Activations.Read(config, defaults.ActivationKey, defaults.Activation),
            AttentionScale = (float)(1 / Math.Sqrt(headDim)),
            Attention = [.. Enumerable.Repeat(new LayerAttention(null), layers)],
            Rotary = [RotaryEmbedding.Read(config, config.Section("rope_scaling") ?? config.Section("rope_parameters"), config.Number("rope_theta", defaults.RopeTheta), headDim)],
            TiedHead = config.Flag("tie_word_embeddings", defaults.TiedHead),
        };
    }

    /// <summary>One window per layer from <c>layer_types</c>, or from the family's rule where there are none.</summary>
    /// <param name="config">The configuration.</param>
    /// <param name="window">Width of sliding attention; null when no layer has it.</param>
    /// <param name="isSliding">Which layers have it when the configuration does not list them.</param>
    /// <param name="localRotary">Index of the position embedding of sliding layers.</param>
    /// <exception cref="ModelPackException">MP1503, MP1505.</exception>
    public DecoderSpec WithWindows(ModelConfig config, long? window, Func<int, bool> isSliding, int localRotary = 0)
    {
        IReadOnlyList<string>? types = config.Texts("layer_types");
        if (types is not null && types.Count != Attention.Length)
        {
            throw config.Wrong("layer_types", $"lists {types.Count} layers of {Attention.Length}");
        }

        bool Sliding(int layer) => types is null ? isSliding(layer) : types[layer] switch
        {
            "sliding_attention" => true,
            "full_attention" => false,
            string other => throw config.Unsupported("layer_types", $"has '{other}'; there are: full_attention, sliding_attention"),
        };
        return this with
        {
            Attention = [.. Attention.Select((_, layer) => Sliding(layer) ? new LayerAttention(window, localRotary) : new LayerAttention(null))],
        };
    }

    /// <summary>Weights of a quantiser that is not known are not the tensors the graph is made of.</summary>
    private static void CheckQuantization(ModelConfig config)
    {
        string? method = config.Section("quantization_config")?.Text("quant_method");
        if (method is not (null or "bitnet") && !QuantizedCheckpoints.Methods.Contains(method, StringComparer.Ordinal))
        {
            throw config.Unsupported("quantization_config", $"says that the weights are quantised by '{method}', which is not read");
        }
    }
}

/// <summary>What a family assumes where its configuration says nothing.</summary>
/// <param name="KeyValueHeads">Heads of keys and values; null: as many as heads of queries.</param>
/// <param name="HeadDim">Channels of a head; null: hidden / heads.</param>
/// <param name="NormEpsilon">Added to the mean square.</param>
/// <param name="RopeTheta">Base of the rotary embedding.</param>
/// <param name="TiedHead">The head is the embedding.</param>
/// <param name="ActivationKey">Name of the activation in the configuration.</param>
/// <param name="Activation">The activation.</param>
internal sealed record DecoderDefaults(
    long? KeyValueHeads = null, long? HeadDim = null, double NormEpsilon = 1e-6, double RopeTheta = 10000, bool TiedHead = false, string ActivationKey = "hidden_act", string Activation = "silu");
