using ModelPack.Architectures.Decoder;

namespace ModelPack.Architectures.Encoder;

/// <summary>An encoder as numbers: all that tells one family from another, beside its names.</summary>
internal sealed record EncoderSpec
{
    private const int MostLayers = 10_000;
    private const int DefaultLabels = 2;

    public required EncoderNames Names { get; init; }

    public required long Vocabulary { get; init; }

    public required long Hidden { get; init; }

    public required long Intermediate { get; init; }

    public required long Heads { get; init; }

    public required int Layers { get; init; }

    /// <summary>Rows of the table of positions.</summary>
    public required long Positions { get; init; }

    /// <summary>Rows of the table of token types; 0: the family has none.</summary>
    public required long TokenTypes { get; init; }

    public required float NormEpsilon { get; init; }

    /// <summary>Between the two layers of the MLP, and in the head for masked words.</summary>
    public required Activation Activation { get; init; }

    public required EncoderHead Head { get; init; }

    /// <summary>Classes of a head that has them.</summary>
    public required long Labels { get; init; }

    /// <summary>The scores of words are the embedding.</summary>
    public required bool TiedHead { get; init; }

    /// <summary>The family has a pooler: tanh of a linear layer on the first token.</summary>
    public bool Pooler { get; init; } = true;

    /// <summary>Id of the token that fills texts up: tokens are counted from the row after it on, and it stays at its own row. Null: positions are those in the input, from 0 on.</summary>
    public long? PositionsAfter { get; init; }

    /// <summary>Buckets of distances between tokens, one bias per head for each; null for none.</summary>
    public long? DistanceBuckets { get; init; }

    /// <summary>Function of the dense layer before the scores of a text.</summary>
    public SequenceActivation SequenceActivation { get; init; }

    /// <summary>Function of the dense layer before the scores of words; null: <see cref="Activation"/>.</summary>
    public Activation? MaskedActivation { get; init; }

    /// <summary>Reads a configuration; <paramref name="keys"/> are the names of its sizes.</summary>
    /// <param name="config">The configuration.</param>
    /// <param name="names">Names of the modules.</param>
    /// <param name="keys">Names of the sizes.</param>
    /// <exception cref="ModelPackException">MP1503, MP1504, MP1505.</exception>
    public static EncoderSpec Read(ModelConfig config, EncoderNames names, EncoderKeys keys)
    {
        if ((config.Text("position_embedding_type") ?? "absolute") is var kind and not "absolute")
        {
            throw config.Unsupported("position_embedding_type", $"is '{kind}'; only 'absolute' is");
        }

        if (config.Flag("is_decoder", false))
        {
            throw config.Unsupported("is_decoder", "is true; graphs are built for encoders");
        }

        if (config.Section("quantization_config") is ModelConfig quantization && quantization.Text("quant_method") is string method && !Compiler.QuantizedCheckpoints.Methods.Contains(method, StringComparer.Ordinal))
        {
            throw config.Unsupported("quantization_config", $"says that the weights are quantised by '{method}', which is not read");
        }

        long hidden = config.Positive(keys.Hidden);
        long heads = config.Positive(keys.Heads);
        if (hidden % heads != 0)
        {
            throw new ModelPackException(ErrorCodes.ConfigHeads, $"{ModelConfig.FileName}: {keys.Hidden} is {hidden}, which {keys.Heads} {heads} does not divide");
        }

        return new EncoderSpec
        {
            Names = names,
            Vocabulary = config.Positive("vocab_size"),
            Hidden = hidden,
            Intermediate = config.Positive(keys.Intermediate),
            Heads = heads,
            Layers = (int)config.Positive(keys.Layers, most: MostLayers),
            Positions = config.Positive("max_position_embeddings", 512),
            TokenTypes = 0,
            NormEpsilon = (float)config.Number("layer_norm_eps", 1e-12),
            Activation = Activations.Read(config, keys.Activation, "gelu"),
            Head = HeadOf(config.Architecture),
            Labels = config.Section("id2label")?.Count ?? config.Positive("num_labels", DefaultLabels),
            TiedHead = config.Flag("tie_word_embeddings", true),
        };
    }

    /// <summary>The head that the end of a class's name means.</summary>
    public static EncoderHead HeadOf(string className) =>
        className.EndsWith("ForMaskedLM", StringComparison.Ordinal) || className.EndsWith("ForPreTraining", StringComparison.Ordinal) ? EncoderHead.MaskedWords
        : className.EndsWith("ForSequenceClassification", StringComparison.Ordinal) ? EncoderHead.Sequence
        : className.EndsWith("ForTokenClassification", StringComparison.Ordinal) ? EncoderHead.Tokens
        : className.EndsWith("ForQuestionAnswering", StringComparison.Ordinal) ? EncoderHead.Spans
        : EncoderHead.None;

    /// <summary>True for the classes of a family: those whose heads are built, and the bare model.</summary>
    public static bool IsClass(string className, params ReadOnlySpan<string> families)
    {
        foreach (string family in families)
        {
            if (className == $"{family}Model" || (className.StartsWith($"{family}For", StringComparison.Ordinal) && HeadOf(className) != EncoderHead.None))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>What a tensor is for that checkpoints of encoders hold beside those a graph reads; null for all others.</summary>
    public string? Extra(string name)
    {
        string inner = name.StartsWith(Names.Prefix, StringComparison.Ordinal) ? name[Names.Prefix.Length..] : name;
        return inner is "embeddings.position_ids" or "embeddings.token_type_ids" ? "positions and types, which follow from the configuration"
            : inner.StartsWith("pooler.", StringComparison.Ordinal) ? "a pooler that this class does not use"
            : Array.Exists(HeadPrefixes, p => name.StartsWith(p, StringComparison.Ordinal)) ? "heads of other classes, or tied to the embedding"
            : null;
    }

    private static readonly string[] HeadPrefixes = ["cls.", "lm_head.", "classifier.", "qa_outputs.", "pre_classifier.", "vocab_transform.", "vocab_layer_norm.", "vocab_projector."];
}

/// <summary>Names of the sizes in a configuration.</summary>
internal sealed record EncoderKeys(
    string Hidden = "hidden_size", string Heads = "num_attention_heads", string Layers = "num_hidden_layers", string Intermediate = "intermediate_size", string Activation = "hidden_act");

/// <summary>Function of the dense layer before the scores of a text.</summary>
internal enum SequenceActivation
{
    /// <summary>tanh(x).</summary>
    Tanh,

    /// <summary>max(x, 0).</summary>
    Relu,
}
