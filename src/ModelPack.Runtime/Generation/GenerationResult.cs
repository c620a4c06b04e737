namespace ModelPack.Runtime.Generation;

/// <summary>Why generation ended.</summary>
public enum StopReason
{
    /// <summary>As many tokens as asked for.</summary>
    MaxTokens,

    /// <summary>The model ended the text.</summary>
    EndOfText,

    /// <summary>A stop string appeared.</summary>
    StopString,

    /// <summary>The model's context is full.</summary>
    ContextLength,
}

/// <summary>Generated text.</summary>
/// <param name="PromptTokens">Tokens of the prompt.</param>
/// <param name="Tokens">Tokens generated, without the one that ends the text.</param>
/// <param name="Text">The text after the prompt.</param>
/// <param name="StopReason">Why it ended.</param>
/// <param name="FirstTokenSeconds">From the start to the first token: mostly the time to read the prompt.</param>
/// <param name="TokensPerSecond">Speed after the first token; null for fewer than two.</param>
public sealed record GenerationResult(int PromptTokens, int Tokens, string Text, StopReason StopReason, double FirstTokenSeconds, double? TokensPerSecond);
