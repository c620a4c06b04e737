using System.Collections.Immutable;

namespace ModelPack.Compiler.Shapes;

/// <summary>Operators that make one element of all along some axes.</summary>
internal static class ReductionRules
{
    /// <summary>Axes are an attribute or the second input; none are all, or, where the attribute says so, nothing is reduced.</summary>
    /// <param name="function">Of two elements; null where elements are not followed.</param>
    public static ShapeRule Reduce(Func<double, double, double>? function = null) => node =>
    {
        ValueShape x = node.Input(0);
        if (x.Shape is not Shape shape || node.List("axes", 1) is not { } given)
        {
            return;
        }

        if (given.Length == 0 && node.Node.Int("noop_with_empty_axes", 0) != 0)
        {
            node.Give(0, x);
            return;
        }

        int[] axes = given.Length == 0 ? [.. Enumerable.Range(0, shape.Rank)] : [.. given.Select(a => NodeShapes.Axis(a, shape.Rank))];
        ImmutableArray<double> elements = function is not null && axes.Length == shape.Rank && x.Elements is { IsDefault: false, Length: > 0 } ? [x.Elements.Aggregate(function)] : default;
        node.Give(0, x.DType, Reduced(shape, axes, node.Node.Int("keepdims", 1) != 0), elements);
    };

    /// <summary>Places of the largest or smallest elements.</summary>
    public static void ArgMax(NodeShapes node)
    {
        if (node.Shape(0) is Shape shape)
        {
            node.Give(0, DType.I64, Reduced(shape, [NodeShapes.Axis(node.Node.Int("axis", 0), shape.Rank)], node.Node.Int("keepdims", 1) != 0));
        }
    }

    private static Shape Reduced(Shape shape, int[] axes, bool keep) =>
        new([.. shape.Dims.Select((d, i) => (d, Gone: axes.Contains(i))).Where(x => keep || !x.Gone).Select(x => x.Gone ? 1 : x.d)]);
}
