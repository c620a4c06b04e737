using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>What a graph says of a shape that it computes: the sizes that are constants.</summary>
internal static class KnownShape
{
    private const int MaxDepth = 4;

    /// <summary>The sizes, -1 for those that are not known; null when not even their number is.</summary>
    public static long[]? Of(GraphIndex index, string shape, int depth = 0)
    {
        if (SmallConstants.TryReadIntegers(index.Constant(shape), out ImmutableArray<long> sizes))
        {
            return [.. sizes.Select(s => s > 0 ? s : -1)];
        }

        if (depth >= MaxDepth || index.Producer(shape) is not Node node)
        {
            return null;
        }

        switch (node.OpType)
        {
            case "Concat" when node.Inputs.All(i => i.Length > 0):
                var all = new List<long>();
                foreach (string part in node.Inputs)
                {
                    // A part that is no constant is taken for one size: exporters write them so. A wrong guess makes the number of axes wrong, which no pattern accepts.
                    all.AddRange(SmallConstants.TryReadIntegers(index.Constant(part), out ImmutableArray<long> known) ? known.Select(s => s > 0 ? s : -1) : [-1L]);
                }

                return [.. all];
            case "Reshape" when SmallConstants.TryReadIntegers(index.Constant(node.Input(1)), out ImmutableArray<long> flat) && flat is [-1]:
                return Of(index, node.Input(0), depth + 1);
            case "Where" when index.Producer(node.Input(0)) is Node { OpType: "Equal" } equal && equal.Inputs.Contains(node.Input(2)):
                // Sizes of -1 are replaced by 1; all others stay.
                return Of(index, node.Input(2), depth + 1);
            default:
                return null;
        }
    }
}
