using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Which tensors a pass may change, by name: its options <c>include</c> and <c>exclude</c>, and the rules of the recipe.</summary>
internal sealed class TensorSelection(PassOptions options, TensorRules rules)
{
    private readonly ImmutableArray<string> _include = options.Texts("include");
    private readonly ImmutableArray<string> _exclude = options.Texts("exclude");

    /// <summary>True when the tensor may be changed.</summary>
    public bool Takes(string tensor) => Refusal(tensor) is null;

    /// <summary>Why the tensor may not be changed; null when it may.</summary>
    public string? Refusal(string tensor) => Refusal(tensor, rules.For(tensor, options));

    /// <summary>As above, for callers that know what the rules say.</summary>
    public string? Refusal(string tensor, TensorDecision decision) =>
        decision.Skip ? "a recipe rule says so"
        : _exclude.Any(p => Glob.IsMatch(p, tensor)) ? "option 'exclude' names it"
        : !_include.IsEmpty && !_include.Any(p => Glob.IsMatch(p, tensor)) ? "option 'include' does not name it"
        : null;
}
