namespace ModelPack.Toolchain;

/// <summary>Text that a language model made.</summary>
public sealed record TextResult
{
    public required string Model { get; init; }

    public required int PromptTokens { get; init; }

    /// <summary>Tokens generated, without the one that ends the text.</summary>
    public required int Tokens { get; init; }

    /// <summary>The text after the prompt.</summary>
    public required string Text { get; init; }

    /// <summary><c>max_tokens</c>, <c>end_of_text</c>, <c>stop_string</c> or <c>context_length</c>.</summary>
    public required string StopReason { get; init; }

    public required double FirstTokenSeconds { get; init; }

    /// <summary>Speed after the first token; null for fewer than two.</summary>
    public required double? TokensPerSecond { get; init; }

    public required double LoadSeconds { get; init; }

    /// <summary>Whether the graph keeps keys and values of earlier tokens.</summary>
    public required bool KvCache { get; init; }
}
