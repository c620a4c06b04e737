using System.Collections.Immutable;
using System.Text.Json.Nodes;

namespace ModelPack.Compiler;

/// <summary>What a recipe's rules say to one pass.</summary>
/// <param name="rules">Rules for that pass in recipe order.</param>
public sealed class TensorRules(ImmutableArray<TensorRule> rules)
{
    /// <summary>No rules.</summary>
    public static TensorRules None { get; } = new([]);

    public ImmutableArray<TensorRule> Rules { get; } = rules;

    /// <summary>
    /// Options for one tensor. Rules apply in order, so for each option the last match decides; a match that skips takes the tensor out,
    /// a later match that does not skip takes it in again.
    /// </summary>
    /// <param name="tensor">Name of the tensor.</param>
    /// <param name="options">Options of the pass.</param>
    public TensorDecision For(string tensor, PassOptions options)
    {
        bool skip = false;
        PassOptions result = options;
        ImmutableSortedSet<string> given = [];
        foreach (TensorRule rule in Rules)
        {
            if (Glob.IsMatch(rule.Match, tensor))
            {
                skip = rule.Skip;
                result = rule.Skip ? result : result.With(rule.Options);
                given = rule.Skip ? given : given.Union(rule.Options.Select(o => o.Key));
            }
        }

        return new TensorDecision(skip, result, given);
    }
}

/// <summary>One rule as one pass sees it.</summary>
/// <param name="Match">Pattern over tensor names; see <see cref="Glob"/>.</param>
/// <param name="Skip">The pass leaves the tensors alone.</param>
/// <param name="Options">Options that differ for these tensors.</param>
public sealed record TensorRule(string Match, bool Skip, JsonObject Options);

/// <summary>The outcome of all rules for one tensor.</summary>
/// <param name="Skip">The pass leaves the tensor alone.</param>
/// <param name="Options">Options for it.</param>
/// <param name="Given">Names of options that a rule set for this very tensor: they are meant, whatever general policy says.</param>
public sealed record TensorDecision(bool Skip, PassOptions Options, ImmutableSortedSet<string> Given);
