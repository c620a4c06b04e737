using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// The path of values through attention: what the output projection reads is a weighted sum of what the value projection made, channel by channel within each head, so a factor per channel passes.
/// <code>
/// v [b, s, g*d] -> Reshape [b, s, g, d] -> Transpose(0, 2, 1, 3) -> { Unsqueeze(2) -> Expand [b, g, r, s, d] -> Reshape [b, g*r, s, d] } -> V
/// MatMul(P, V) -> Transpose(0, 2, 1, 3) -> Reshape [b, s, h*d] -> the value that the output projection reads
/// </code>
/// With grouped heads (the part in braces) the h/g heads that share one of v share its factors.
/// </summary>
/// <param name="Value">The value v.</param>
/// <param name="ValueChannels">g*d.</param>
/// <param name="Sharing">[h*d]: the channel of v that each channel comes from; default when h = g.</param>
/// <param name="HeadSize">d.</param>
internal sealed record AttentionHeads(string Value, long ValueChannels, ImmutableArray<int> Sharing, long HeadSize)
{
    /// <summary>The path that ends in a value; null when there is none, or not certainly.</summary>
    /// <param name="index">The graph.</param>
    /// <param name="value">The result of the last Reshape.</param>
    /// <param name="channels">h*d.</param>
    public static AttentionHeads? Match(GraphIndex index, string value, long channels)
    {
        if (Step(index, value, "Reshape") is not Node joined || KnownShape.Of(index, joined.Input(1)) is not [_, _, long width] || width != channels
            || Swapped(index, joined.Input(0)) is not Node back || Step(index, back.Input(0), "MatMul") is not Node sum || index.Initializer(sum.Input(1)) is not null)
        {
            return null;
        }

        string heads = sum.Input(1);
        long? headCount = null;
        if (index.Producer(heads) is Node { OpType: "Reshape" })
        {
            // Every head of v, r times in a row.
            if (Step(index, heads, "Reshape") is not Node merged || KnownShape.Of(index, merged.Input(1)) is not [_, long h, _, long depth] || h <= 0 || depth <= 0
                || Step(index, merged.Input(0), "Expand") is not Node expand || KnownShape.Of(index, expand.Input(1)) is not [_, long groups, long repeats, _, long d]
                || groups <= 0 || groups * repeats != h || d != depth
                || Step(index, expand.Input(0), "Unsqueeze") is not Node unsqueeze || !SmallConstants.TryReadIntegers(index.Constant(unsqueeze.Input(1)), out ImmutableArray<long> axes) || axes is not [2])
            {
                return null;
            }

            headCount = h;
            heads = unsqueeze.Input(0);
        }

        if (Swapped(index, heads) is not Node swap || Step(index, swap.Input(0), "Reshape") is not Node split
            || KnownShape.Of(index, split.Input(1)) is not [_, _, long g, long size] || g <= 0 || size <= 0)
        {
            return null;
        }

        headCount ??= g;
        if (headCount.Value % g != 0 || headCount.Value * size != channels)
        {
            return null;
        }

        int perGroup = (int)(headCount.Value / g);
        ImmutableArray<int> sharing = perGroup == 1 ? default : [.. Enumerable.Range(0, (int)channels).Select(c => (int)((c / size / perGroup * size) + (c % size)))];
        return new AttentionHeads(split.Input(0), g * size, sharing, size);
    }

    /// <summary>The node of that kind that makes a value for one reader only.</summary>
    private static Node? Step(GraphIndex index, string value, string op) =>
        index.Producer(value) is Node node && node.Is(op) && !index.IsOutput(value) && (op == "Reshape" || index.Uses(value).Count == 1) && Readers(index, value) == 1 ? node : null;

    /// <summary>Nodes that read a value itself, not its shape only; the last value of the path is read by the projections, which are the caller's to judge.</summary>
    private static int Readers(GraphIndex index, string value) => index.Uses(value).Select(u => u.NodeIndex).Distinct().Count();

    private static Node? Swapped(GraphIndex index, string value) =>
        Step(index, value, "Transpose") is Node node && node.Ints("perm") is [0, 2, 1, 3] ? node : null;
}
