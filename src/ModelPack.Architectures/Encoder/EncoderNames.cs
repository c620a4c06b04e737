namespace ModelPack.Architectures.Encoder;

/// <summary>The names of an encoder family's modules, each with <c>.weight</c> and <c>.bias</c>. Those of layers stand behind <paramref name="Layer"/>, in which <c>{n}</c> is the number of the layer.</summary>
/// <param name="Prefix">Before all names but those of heads, in checkpoints of models with a head.</param>
/// <param name="Layer">Before the names in a layer.</param>
/// <param name="Query">[hidden, hidden].</param>
/// <param name="Key">[hidden, hidden].</param>
/// <param name="Value">[hidden, hidden].</param>
/// <param name="Output">[hidden, hidden], behind attention.</param>
/// <param name="AttentionNorm">Norm of the sum of attention and what it read.</param>
/// <param name="Up">[intermediate, hidden].</param>
/// <param name="Down">[hidden, intermediate].</param>
/// <param name="OutputNorm">Norm of the sum of the MLP and what it read.</param>
/// <param name="MaskedDense">[hidden, hidden], before the scores of words.</param>
/// <param name="MaskedNorm">Norm behind it.</param>
/// <param name="MaskedBias">Whole name of the bias of the scores of words.</param>
/// <param name="MaskedTable">The scores of words where they are not tied to the embedding.</param>
/// <param name="SequenceDense">[hidden, hidden], on the first token, before the scores of a text; null: the pooler.</param>
/// <param name="Sequence">[labels, hidden], scores of a text.</param>
internal sealed record EncoderNames(
    string Prefix,
    string Layer,
    string Query,
    string Key,
    string Value,
    string Output,
    string AttentionNorm,
    string Up,
    string Down,
    string OutputNorm,
    string MaskedDense,
    string MaskedNorm,
    string MaskedBias,
    string MaskedTable,
    string? SequenceDense,
    string Sequence)
{
    /// <summary>Scores of tokens, in all families.</summary>
    public const string Tokens = "classifier";

    /// <summary>Scores of where answers begin and end, in all families.</summary>
    public const string Spans = "qa_outputs";

    /// <summary>The pooler, in all families that have one.</summary>
    public const string Pooler = "pooler.dense";

    /// <summary>The names of BERT.</summary>
    public static EncoderNames Bert { get; } = new(
        "bert.", "encoder.layer.{n}.",
        "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "attention.output.LayerNorm",
        "intermediate.dense", "output.dense", "output.LayerNorm",
        "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias", "cls.predictions.decoder",
        null, "classifier");
}
