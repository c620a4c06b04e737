namespace ModelPack.Runtime.Embedding;

/// <summary>How the vectors of the tokens of a text become one.</summary>
public enum TextPooling
{
    /// <summary>Their mean.</summary>
    Mean,

    /// <summary>The vector of the first token.</summary>
    Cls,

    /// <summary>The largest value per channel.</summary>
    Max,

    /// <summary>Their sum over the square root of their number.</summary>
    MeanSqrtLength,

    /// <summary>Their mean weighted by position: the first token counts once, the second twice, and so on.</summary>
    WeightedMean,

    /// <summary>The vector of the last token.</summary>
    LastToken,
}
