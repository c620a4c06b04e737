using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Numbers that a graph computes once for every vector of channels: a rotated vector may be multiplied with them before or after.</summary>
internal static class PerVector
{
    private const int MaxDepth = 8;

    /// <summary>True when a value certainly has one element along the last axis, or one at all.</summary>
    public static bool Is(GraphIndex index, string value, int depth = 0)
    {
        if (index.Initializer(value) is Tensor constant)
        {
            return IsOne(constant);
        }

        if (depth > MaxDepth || index.Producer(value) is not { Domain.Length: 0 } node)
        {
            return false;
        }

        switch (node.OpType)
        {
            case "ReduceMean" or "ReduceSum" or "ReduceL2" or "ReduceSumSquare" or "ReduceMax":
                return OverChannels(index, node);
            case "Add" or "Sub" or "Mul" or "Div" or "Pow" or "Max" or "Min" or "Sqrt" or "Reciprocal" or "Identity" or "Neg":
                return node.Inputs.All(i => Is(index, i, depth + 1));
            default:
                return false;
        }
    }

    /// <summary>True for a reduction over the last axis that keeps it.</summary>
    public static bool OverChannels(GraphIndex index, Node node)
    {
        bool last = node.Input(1).Length == 0
            ? node.Ints("axes") is [-1]
            : SmallConstants.TryReadIntegers(index.Constant(node.Input(1)), out System.Collections.Immutable.ImmutableArray<long> axes) && axes is [-1];
        return last && node.Int("keepdims", 1) != 0;
    }

    /// <summary>True for a constant of one element.</summary>
    public static bool IsOne(Tensor? constant) => constant is { Shape.ElementCount: 1 };
}
