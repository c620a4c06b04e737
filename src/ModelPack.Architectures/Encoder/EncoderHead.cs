namespace ModelPack.Architectures.Encoder;

/// <summary>What a model makes of the vectors of its last layer.</summary>
internal enum EncoderHead
{
    /// <summary>Gives them as they are, and what its pooler makes of the first one where it has a pooler.</summary>
    None,

    /// <summary>Scores over the vocabulary for every token.</summary>
    MaskedWords,

    /// <summary>Scores per class for the text.</summary>
    Sequence,

    /// <summary>Scores per class for every token.</summary>
    Tokens,

    /// <summary>Two scores for every token: that an answer begins there, and that it ends there.</summary>
    Spans,
}
