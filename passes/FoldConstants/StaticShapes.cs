using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Shape arithmetic of operators that keep the elements and their order.</summary>
internal static class StaticShapes
{
    /// <summary>The result shape of Reshape, Squeeze, Unsqueeze or Flatten on a tensor of a known shape; null when it is not certain or not valid.</summary>
    public static Shape? Reshaped(GraphIndex index, Node node, Shape shape)
    {
        long[]? dims = node.OpType switch
        {
            "Reshape" => FromReshape(index, node, shape),
            "Flatten" => FromFlatten(node, shape),
            "Squeeze" => FromSqueeze(Axes(index, node), shape),
            "Unsqueeze" => FromUnsqueeze(Axes(index, node), shape),
            _ => null,
        };
        return dims is not null && dims.All(d => d >= 0) && new Shape(dims) is var result && result.TryElementCount(out long count) && count == shape.ElementCount ? result : null;
    }

    private static long[]? FromReshape(GraphIndex index, Node node, Shape shape)
    {
        if (!SmallConstants.TryReadIntegers(index.Constant(node.Input(1)), out ImmutableArray<long> target))
        {
            return null;
        }

        bool copyZero = node.Int("allowzero", 0) == 0;
        long[] dims = [.. target];
        long known = 1;
        for (int i = 0; i < dims.Length; i++)
        {
            dims[i] = dims[i] == 0 && copyZero ? (i < shape.Rank ? shape[i] : -2) : dims[i];
            known *= dims[i] == -1 ? 1 : dims[i];
        }

        int inferred = Array.IndexOf(dims, -1);
        if (inferred >= 0 && known > 0)
        {
            dims[inferred] = shape.ElementCount / known;
        }

        return dims;
    }

    private static long[]? FromFlatten(Node node, Shape shape)
    {
        long axis = node.Int("axis", 1);
        axis += axis < 0 ? shape.Rank : 0;
        if (axis < 0 || axis > shape.Rank)
        {
            return null;
        }

        return [new Shape(shape.Dims.AsSpan()[..(int)axis]).ElementCount, new Shape(shape.Dims.AsSpan()[(int)axis..]).ElementCount];
    }

    /// <summary>Null: given by a value that is not constant. Empty: not given.</summary>
    private static ImmutableArray<long>? Axes(GraphIndex index, Node node) =>
        node.Input(1).Length == 0 ? node.Ints("axes")
        : SmallConstants.TryReadIntegers(index.Constant(node.Input(1)), out ImmutableArray<long> axes) ? axes
        : null;

    private static long[]? FromSqueeze(ImmutableArray<long>? axes, Shape shape)
    {
        if (axes is not ImmutableArray<long> given)
        {
            return null;
        }

        HashSet<long> dropped = given.IsEmpty
            ? [.. Enumerable.Range(0, shape.Rank).Where(i => shape[i] == 1).Select(i => (long)i)]
            : [.. given.Select(a => a < 0 ? a + shape.Rank : a)];
        return [.. Enumerable.Range(0, shape.Rank).Where(i => !dropped.Contains(i)).Select(i => shape[i])];
    }

    private static long[]? FromUnsqueeze(ImmutableArray<long>? axes, Shape shape)
    {
        if (axes is not ImmutableArray<long> { IsEmpty: false } given)
        {
            return null;
        }

        int rank = shape.Rank + given.Length;
        HashSet<long> added = [.. given.Select(a => a < 0 ? a + rank : a)];
        if (added.Count != given.Length || added.Any(a => a < 0 || a >= rank))
        {
            return null;
        }

        var rest = new Queue<long>(shape.Dims);
        return [.. Enumerable.Range(0, rank).Select(i => added.Contains(i) ? 1 : rest.Dequeue())];
    }
}
