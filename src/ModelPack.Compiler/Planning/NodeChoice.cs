using System.Collections.Immutable;

namespace ModelPack.Compiler.Planning;

/// <summary>What to do with one use of a compressed weight.</summary>
/// <param name="Kernel">The chosen kernel, as recorded.</param>
/// <param name="Replacement">The nodes that replace the original one; empty to leave it and expand the weight.</param>
/// <param name="Alternatives">What else was considered.</param>
internal sealed record NodeChoice(string Kernel, ImmutableArray<Node> Replacement, ImmutableArray<RejectedKernel> Alternatives)
{
    public const string Expand = "expand";

    public static NodeChoice Expanded(params ImmutableArray<RejectedKernel> alternatives) => new(Expand, [], alternatives);
}
