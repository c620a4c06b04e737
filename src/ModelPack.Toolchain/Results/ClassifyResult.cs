using ModelPack.Runtime.Embedding;

namespace ModelPack.Toolchain;

/// <summary>Labels of texts.</summary>
public sealed record ClassifyResult
{
    public required string Model { get; init; }

    /// <summary>In the order of the texts.</summary>
    public required IReadOnlyList<ClassifiedText> Texts { get; init; }

    /// <summary>Time for all texts, without loading.</summary>
    public required double Seconds { get; init; }

    public required double LoadSeconds { get; init; }
}

/// <summary>A text, the tokens that the model saw of it, its likeliest label (null: no token, no label) with its score, and all labels in that order.</summary>
public sealed record ClassifiedText(string Text, int Tokens, string? Label, double? Score, IReadOnlyList<TextScore> Scores);
