using System.Collections.Immutable;

namespace ModelPack.Compiler.Shapes;

/// <summary>Operators that move, repeat or rename elements without choosing among them.</summary>
internal static class LayoutRules
{
    public static void Reshape(NodeShapes node)
    {
        ValueShape x = node.Input(0);
        if (node.List("shape", 1) is not { } wanted)
        {
            return;
        }

        bool copies = node.Node.Int("allowzero", 0) == 0;
        if (copies && wanted.Contains(0) && x.Shape is null)
        {
            return;
        }

        long[] dims = [.. wanted.Select((d, i) => d == 0 && copies ? x.Shape!.Value[i] : d)];
        int free = Array.IndexOf(dims, -1);
        if (free >= 0)
        {
            if (x.Shape is not Shape shape)
            {
                return;
            }

            long others = dims.Where((_, i) => i != free).Aggregate(1L, (a, b) => checked(a * b));
            dims[free] = others == 0 ? 0 : shape.ElementCount / others;
        }

        node.Give(0, x.DType, new Shape(dims), x.Elements);
    }

    public static void Flatten(NodeShapes node)
    {
        ValueShape x = node.Input(0);
        if (x.Shape is Shape shape)
        {
            long axis = node.Node.Int("axis", 1);
            int split = (int)(axis < 0 ? axis + shape.Rank : axis);
            node.Give(0, x.DType, new Shape(new Shape(shape.Dims.AsSpan()[..split]).ElementCount, new Shape(shape.Dims.AsSpan()[split..]).ElementCount), x.Elements);
        }
    }

    public static void Transpose(NodeShapes node)
    {
        ValueShape x = node.Input(0);
        if (x.Shape is Shape shape)
        {
            ImmutableArray<long> order = node.Node.Ints("perm") is { IsEmpty: false } given ? given : [.. Enumerable.Range(0, shape.Rank).Reverse().Select(i => (long)i)];
            var turned = new Shape([.. order.Select(i => shape[(int)i])]);
            ElementView view = ElementView.Of(x);
            node.Give(0, x.DType, turned, (view with { Strides = [.. order.Select(i => view.Strides[(int)i])] }).Read(turned));
        }
    }

    public static void Squeeze(NodeShapes node)
    {
        ValueShape x = node.Input(0);
        if (x.Shape is Shape shape && node.List("axes", 1, [.. Enumerable.Range(0, shape.Rank).Where(i => shape[i] == 1).Select(i => (long)i)]) is { } axes)
        {
            int[] gone = [.. axes.Select(a => NodeShapes.Axis(a, shape.Rank))];
            node.Give(0, x.DType, new Shape([.. shape.Dims.Where((_, i) => !gone.Contains(i))]), x.Elements);
        }
    }

    public static void Unsqueeze(NodeShapes node)
    {
        ValueShape x = node.Input(0);
        if (x.Shape is Shape shape && node.List("axes", 1) is { } axes)
        {
            int rank = shape.Rank + axes.Length;
            int[] added = [.. axes.Select(a => NodeShapes.Axis(a, rank))];
            var rest = new Queue<long>(shape.Dims);
            node.Give(0, x.DType, new Shape([.. Enumerable.Range(0, rank).Select(i => added.Contains(i) ? 1 : rest.Dequeue())]), x.Elements);
        }
    }

    public static void Concat(NodeShapes node)
    {
        ValueShape[] parts = [.. Enumerable.Range(0, node.Node.Inputs.Length).Select(node.Input)];
        if (parts.All(p => p.Shape is not null) && parts[0].Shape is Shape first)
        {
            int axis = NodeShapes.Axis(node.Node.Int("axis", 1), first.Rank);
            long places = parts.Sum(p => p.Shape!.Value[axis]);
            ImmutableArray<double> elements = first.Rank == 1 && parts.All(p => !p.Elements.IsDefault) ? [.. parts.SelectMany(p => p.Elements)] : default;
            node.Give(0, parts[0].DType, With(first, axis, places), elements);
        }
    }

    public static void Split(NodeShapes node)
    {
        ValueShape x = node.Input(0);
        if (x.Shape is not Shape shape)
        {
            return;
        }

        int axis = NodeShapes.Axis(node.Node.Int("axis", 0), shape.Rank);
        int parts = node.Node.Outputs.Length;
        long each = (shape[axis] + parts - 1) / parts;
        if (node.List("split", 1, [.. Enumerable.Range(0, parts).Select(i => Math.Clamp(shape[axis] - (i * each), 0, each))]) is not { } sizes)
        {
            return;
        }

        int begin = 0;
        for (int i = 0; i < parts; i++)
        {
            int length = (int)sizes[i];
            node.Give(i, x.DType, With(shape, axis, length), shape.Rank == 1 && !x.Elements.IsDefault ? x.Elements.Slice(begin, length) : default);
            begin += length;
        }
    }

    public static void Expand(NodeShapes node)
    {
        ValueShape x = node.Input(0);
        if (x.Shape is Shape shape && node.Integers(1) is { } wanted)
        {
            Shape to = ElementwiseRules.Together([shape, new Shape(wanted)]);
            node.Give(0, x.DType, to, ElementwiseRules.Expand(x, to));
        }
    }

    public static void Tile(NodeShapes node)
    {
        ValueShape x = node.Input(0);
        if (x.Shape is Shape shape && node.Integers(1) is { } times)
        {
            node.Give(0, x.DType, new Shape([.. shape.Dims.Select((d, i) => d * times[i])]));
        }
    }

    public static void Pad(NodeShapes node)
    {
        ValueShape x = node.Input(0);
        if (x.Shape is not Shape shape || node.List("pads", 1) is not { } pads || node.List("axes", 3, [.. Enumerable.Range(0, shape.Rank).Select(i => (long)i)]) is not { } axes)
        {
            return;
        }

        long[] dims = [.. shape.Dims];
        for (int i = 0; i < axes.Length; i++)
        {
            dims[NodeShapes.Axis(axes[i], shape.Rank)] += pads[i] + pads[i + axes.Length];
        }

        node.Give(0, x.DType, new Shape(dims));
    }

    public static void DepthToSpace(NodeShapes node)
    {
        long block = node.Node.Int("blocksize", 1);
        if (node.Shape(0) is Shape s)
        {
            node.Give(0, node.Input(0).DType, new Shape(s[0], s[1] / (block * block), s[2] * block, s[3] * block));
        }
    }

    public static void SpaceToDepth(NodeShapes node)
    {
        long block = node.Node.Int("blocksize", 1);
        if (node.Shape(0) is Shape s)
        {
            node.Give(0, node.Input(0).DType, new Shape(s[0], s[1] * block * block, s[2] / block, s[3] / block));
        }
    }

    /// <summary>A shape with another size of one axis.</summary>
    public static Shape With(Shape shape, int axis, long size) => new([.. shape.Dims.SetItem(NodeShapes.Axis(axis, shape.Rank), size)]);
}
