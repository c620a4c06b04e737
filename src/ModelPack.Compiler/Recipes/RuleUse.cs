using System.Collections.Immutable;

namespace ModelPack.Compiler;

/// <summary>Finds rules of a recipe that do nothing to a model: mistyped patterns, and rules that others contradict for all of their tensors.</summary>
internal static class RuleUse
{
    /// <summary>Key of what a rule says about leaving tensors alone, beside its options.</summary>
    private const string Skip = "";

    /// <summary>One line for every rule without effect, in the order of the recipe.</summary>
    /// <param name="rules">The rules.</param>
    /// <param name="passes">Names of the passes that run.</param>
    /// <param name="tensors">Names of the model's tensors.</param>
    public static IEnumerable<string> Warnings(ImmutableArray<RecipeRule> rules, IReadOnlyCollection<string> passes, IEnumerable<string> tensors)
    {
        bool[] matches = new bool[rules.Length];
        bool[] decides = new bool[rules.Length];
        int[] overruled = new int[rules.Length];
        foreach (string tensor in tensors)
        {
            int[] matching = [.. Enumerable.Range(0, rules.Length).Where(i => Glob.IsMatch(rules[i].Match, tensor))];
            foreach (int i in matching)
            {
                matches[i] = true;
                overruled[i] = Math.Max(overruled[i], matching[^1]);
            }

            foreach (string pass in passes)
            {
                Decide(rules, matching, pass, decides);
            }
        }

        for (int i = 0; i < rules.Length; i++)
        {
            if (!matches[i])
            {
                yield return $"rules[{i}] matches no tensor: '{rules[i].Match}'";
            }
            else if (!decides[i] && overruled[i] > i && (rules[i].Skip || rules[i].Passes.Keys.Any(passes.Contains)))
            {
                yield return $"rules[{i}] ('{rules[i].Match}') is without effect: it conflicts with later rules such as rules[{overruled[i]}] ('{rules[overruled[i]].Match}'), which decide for all of its tensors";
            }
        }
    }

    /// <summary>Marks the rules by which one pass treats one tensor: for each option the last that sets it, and the last that takes the tensor out or in.</summary>
    private static void Decide(ImmutableArray<RecipeRule> rules, int[] matching, string pass, bool[] decides)
    {
        var last = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (int i in matching)
        {
            if (!rules[i].Skip && !rules[i].Passes.ContainsKey(pass))
            {
                continue;
            }

            if (rules[i].Skip || rules[i].Passes[pass] is not { } options)
            {
                // Options that were set before are forgotten by nobody, but a tensor that is left out has no use for them.
                last[Skip] = i;
                continue;
            }

            if (last.TryGetValue(Skip, out int skipped) && !IsIn(rules[skipped], pass))
            {
                last[Skip] = i;
            }

            foreach ((string option, _) in options)
            {
                last[option] = i;
            }
        }

        bool isOut = last.TryGetValue(Skip, out int final) && !IsIn(rules[final], pass);
        foreach ((string key, int i) in last)
        {
            decides[i] |= !isOut || key == Skip;
        }
    }

    /// <summary>True for a rule with options for a pass: it takes tensors in.</summary>
    private static bool IsIn(RecipeRule rule, string pass) => !rule.Skip && rule.Passes.GetValueOrDefault(pass) is not null;
}
