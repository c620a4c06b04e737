using System.Collections.Immutable;

namespace ModelPack.Architectures.Decoder;

/// <summary>Layers whose MLP is a choice of several: every token goes to the experts its router scores highest, and takes the sum of their results by their shares.</summary>
/// <param name="Count">Experts of a layer.</param>
/// <param name="PerToken">Experts that a token goes to.</param>
/// <param name="Intermediate">Width of an expert.</param>
/// <param name="Normalized">Shares of the chosen experts sum to 1; else they are their shares among all.</param>
/// <param name="Layers">Which layers have experts; the others have the MLP of a dense model.</param>
internal sealed record ExpertSpec(long Count, long PerToken, long Intermediate, bool Normalized, ImmutableArray<bool> Layers)
{
    private const long MostExperts = 4096;

    /// <summary>Reads the numbers.</summary>
    /// <param name="config">The configuration.</param>
    /// <param name="countKey">Name of the number of experts.</param>
    /// <param name="count">Its default.</param>
    /// <param name="perToken">Default of <c>num_experts_per_tok</c>.</param>
    /// <param name="intermediate">Width of an expert.</param>
    /// <param name="normalized">See <see cref="Normalized"/>.</param>
    /// <param name="layers">See <see cref="Layers"/>.</param>
    /// <exception cref="ModelPackException">MP1503.</exception>
    public static ExpertSpec Read(ModelConfig config, string countKey, long count, long perToken, long intermediate, bool normalized, ImmutableArray<bool> layers)
    {
        count = config.Positive(countKey, count, MostExperts);
        perToken = config.Positive("num_experts_per_tok", perToken, MostExperts);
        return perToken <= count
            ? new ExpertSpec(count, perToken, intermediate, normalized, layers)
            : throw config.Wrong("num_experts_per_tok", $"is {perToken}, but {countKey} is {count}");
    }
}
