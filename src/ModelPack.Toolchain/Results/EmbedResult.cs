namespace ModelPack.Toolchain;

/// <summary>Vectors of texts.</summary>
public sealed record EmbedResult
{
    public required string Model { get; init; }

    /// <summary>Values of a vector.</summary>
    public required int Dimensions { get; init; }

    /// <summary><c>mean</c>, <c>cls</c>, <c>max</c>, <c>mean_sqrt_length</c>, <c>weighted_mean</c> or <c>last_token</c>, or several of them with <c>+</c> between.</summary>
    public required string Pooling { get; init; }

    /// <summary>Values that the dense layers behind pooling give.</summary>
    public required IReadOnlyList<int> DenseLayers { get; init; }

    /// <summary>Vectors have length 1.</summary>
    public required bool Normalized { get; init; }

    /// <summary>In the order of the texts.</summary>
    public required IReadOnlyList<EmbeddedText> Embeddings { get; init; }

    /// <summary>The vectors as one array [texts, dimensions]; null when it was not written.</summary>
    public required string? File { get; init; }

    /// <summary>Time for all texts, without loading.</summary>
    public required double Seconds { get; init; }

    public required double LoadSeconds { get; init; }
}

/// <summary>A text, the tokens that the model saw of it, and its vector.</summary>
public sealed record EmbeddedText(string Text, int Tokens, IReadOnlyList<float> Values);
