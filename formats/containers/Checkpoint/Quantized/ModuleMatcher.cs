using System.Text.RegularExpressions;

namespace ModelPack.Containers.Checkpoint;

/// <summary>How loaders of compressed-tensors match the names of modules: exactly, by class (<c>Linear</c>), or by <c>re:</c> and an expression that must match from the beginning.</summary>
public sealed class ModuleMatcher(IEnumerable<string> patterns)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    private readonly (string Pattern, Regex? Expression)[] _patterns = [.. patterns.Select(p => (p, Compile(p)))];

    /// <summary>The first pattern that matches a linear layer; null for none.</summary>
    public string? Match(string module) => Array.Find(_patterns, p => Matches(p, module)).Pattern;

    private static bool Matches((string Pattern, Regex? Expression) pattern, string module) =>
        pattern.Expression?.IsMatch(module) ?? (pattern.Pattern == module || pattern.Pattern == "Linear");

    /// <summary>An expression that cannot be read matches nothing.</summary>
    private static Regex? Compile(string pattern)
    {
        if (!pattern.StartsWith("re:", StringComparison.Ordinal))
        {
            return null;
        }

        try
        {
            return new Regex($"^(?:{pattern[3..]})", RegexOptions.CultureInvariant, Patience);
        }
        catch (ArgumentException)
        {
            return new Regex("(?!)", RegexOptions.None, Patience);
        }
    }
}
