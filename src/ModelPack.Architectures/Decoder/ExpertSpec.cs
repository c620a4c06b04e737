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

    /// <summary>Shares are the sigmoids of scores instead of their softmax.</summary>
    public bool Sigmoid { get; init; }

    /// <summary>Experts are chosen by shares plus a number per expert (<see cref="WeightRole.RouterCorrection"/>); what they count for are the shares alone.</summary>
    public bool Corrected { get; init; }

    /// <summary>Groups of neighbouring experts; 1 for none.</summary>
    public long Groups { get; init; } = 1;

    /// <summary>Groups that a token may choose experts of.</summary>
    public long GroupsPerToken { get; init; } = 1;

    /// <summary>A group is worth its two best experts together; else its best one.</summary>
    public bool GroupsByTwo { get; init; }

    /// <summary>Factor of all shares.</summary>
    public float Scale { get; init; } = 1;

    /// <summary>Width of the MLP that all tokens go through besides; 0 for none.</summary>
    public long SharedIntermediate { get; init; }

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

    /// <summary>The same with groups: <c>n_group</c> and <c>topk_group</c>.</summary>
    /// <exception cref="ModelPackException">MP1503: they do not divide the experts, or leave fewer than a token needs.</exception>
    public ExpertSpec WithGroups(ModelConfig config, bool byTwo)
    {
        long groups = config.Positive("n_group", 1, Count);
        long kept = config.Positive("topk_group", groups, groups);
        return Count % groups != 0 ? throw config.Wrong("n_group", $"is {groups}, which does not divide {Count} experts")
            : Count / groups * kept < PerToken ? throw config.Wrong("topk_group", $"is {kept}: {Count / groups * kept} experts are left for a token that needs {PerToken}")
            : byTwo && groups > 1 && Count / groups < 2 ? throw config.Wrong("n_group", $"is {groups}: groups of {Count} experts have no two")
            : this with { Groups = groups, GroupsPerToken = kept, GroupsByTwo = byTwo };
    }
}
