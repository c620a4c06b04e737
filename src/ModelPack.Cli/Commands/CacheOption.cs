using System.CommandLine;
using ModelPack.Architectures;

namespace ModelPack.Cli;

/// <summary><c>--kv-cache</c>, with or without the type of keys and values.</summary>
internal static class CacheOption
{
    private static readonly Dictionary<string, GraphForm> Forms = new(StringComparer.Ordinal) { ["f32"] = GraphForm.Cached, ["f16"] = GraphForm.CachedF16, ["int8"] = GraphForm.CachedInt8, ["fused"] = GraphForm.CachedFused };

    public static Option<string?> Create(string description)
    {
        var option = new Option<string?>("--kv-cache") { Description = description, HelpName = "f32|f16|int8|fused", Arity = ArgumentArity.ZeroOrOne };
        option.CompletionSources.Add(static _ => [.. Forms.Keys]);
        return option;
    }

    /// <summary>The form that is asked for; null when the option is not given.</summary>
    /// <exception cref="UsageException">An unknown type.</exception>
    public static GraphForm? Get(Session session, Option<string?> option) => !session.IsGiven(option) ? null
        : session.Get(option) is not string type ? GraphForm.Cached
        : Forms.TryGetValue(type, out GraphForm form) ? form
        : throw new UsageException($"--kv-cache '{type}' is not one of {string.Join(", ", Forms.Keys)}");
}
