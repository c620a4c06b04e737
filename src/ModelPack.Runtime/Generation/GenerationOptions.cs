using System.Collections.Immutable;

namespace ModelPack.Runtime.Generation;

/// <summary>How text is generated. The defaults take the likeliest token every time.</summary>
public sealed record GenerationOptions
{
    /// <summary>Most tokens to generate; at least 1.</summary>
    public int MaxTokens { get; init; } = 64;

    /// <summary>Logits are divided by this before a token is drawn; 0 takes the likeliest one. At most 100.</summary>
    public double Temperature { get; init; }

    /// <summary>Draw from this many of the likeliest tokens; 0 from all.</summary>
    public int TopK { get; init; }

    /// <summary>Draw from the fewest likeliest tokens whose probabilities sum to at least this (nucleus sampling, Holtzman et al. 2020); above 0, 1 for all.</summary>
    public double TopP { get; init; } = 1;

    /// <summary>Seed of the draws: the same model, prompt, options and seed give the same text on one machine.</summary>
    public ulong Seed { get; init; }

    /// <summary>Generation ends before the first of these in the text.</summary>
    public ImmutableArray<string> StopStrings { get; init; } = [];

    /// <exception cref="ArgumentOutOfRangeException">A value is outside its range.</exception>
    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxTokens, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(TopK);
        if (!(Temperature is >= 0 and <= MaxTemperature))
        {
            throw new ArgumentOutOfRangeException(nameof(Temperature), Temperature, $"not from 0 to {MaxTemperature}");
        }

        if (!(TopP is > 0 and <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(TopP), TopP, "not above 0 and at most 1");
        }

        if (!StopStrings.IsDefault && StopStrings.Any(string.IsNullOrEmpty))
        {
            throw new ArgumentOutOfRangeException(nameof(StopStrings), "", "an empty stop string");
        }
    }

    internal const double MaxTemperature = 100;
}
