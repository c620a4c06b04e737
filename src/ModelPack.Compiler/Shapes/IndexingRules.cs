using System.Collections.Immutable;

namespace ModelPack.Compiler.Shapes;

/// <summary>Operators that choose elements, and those that make tensors of sizes.</summary>
internal static class IndexingRules
{
    public static void ShapeOf(NodeShapes node)
    {
        if (node.Shape(0) is Shape shape)
        {
            int Bound(string name, long otherwise) => (int)Math.Clamp(node.Node.Int(name, otherwise) is var at && at < 0 ? at + shape.Rank : at, 0, shape.Rank);
            int begin = Bound("start", 0);
            int end = Math.Max(begin, Bound("end", shape.Rank));
            node.Give(0, DType.I64, new Shape(end - begin), [.. shape.Dims[begin..end].Select(d => (double)d)]);
        }
    }

    public static void Size(NodeShapes node) => node.Give(0, DType.I64, Shape.Scalar, node.Shape(0) is Shape shape ? [shape.ElementCount] : default);

    public static void Gather(NodeShapes node)
    {
        ValueShape data = node.Input(0);
        if (data.Shape is not Shape shape || node.Shape(1) is not Shape indices)
        {
            return;
        }

        int axis = NodeShapes.Axis(node.Node.Int("axis", 0), shape.Rank);
        ImmutableArray<double> elements = default;
        if (shape.Rank == 1 && !data.Elements.IsDefault && node.Integers(1) is { } at)
        {
            elements = [.. at.Select(i => data.Elements[NodeShapes.Axis(i, data.Elements.Length)])];
        }

        node.Give(0, data.DType, new Shape([.. shape.Dims[..axis], .. indices.Dims, .. shape.Dims[(axis + 1)..]]), elements);
    }

    /// <summary>Rows of a table in block integers, packed in bytes where its type is one.</summary>
    public static void GatherBlockQuantized(NodeShapes node)
    {
        ValueShape data = node.Input(0);
        if (data.Shape is Shape shape && node.Shape(1) is Shape indices)
        {
            int axis = NodeShapes.Axis(node.Node.Int("gather_axis", 0), shape.Rank);
            long perByte = data.DType == DType.U8 ? 8 / node.Node.Int("bits", 4) : 1;
            Shape values = LayoutRules.With(shape, shape.Rank - 1, shape[-1] * perByte);
            node.Give(0, node.Input(2).DType, new Shape([.. values.Dims[..axis], .. indices.Dims, .. values.Dims[(axis + 1)..]]));
        }
    }

    /// <summary>Our lookup of rows in packed weights: the attribute N says how long they are.</summary>
    public static void PackedGather(NodeShapes node)
    {
        if (node.Shape(1) is Shape indices)
        {
            node.Give(0, DType.F32, new Shape([.. indices.Dims, node.Node.Int("N", 0)]));
        }
    }

    /// <summary>Data by the first input, shape by the second.</summary>
    public static void GatherElements(NodeShapes node) => node.Give(0, node.Input(0).DType, node.Shape(1));

    public static void GatherND(NodeShapes node)
    {
        int batch = (int)node.Node.Int("batch_dims", 0);
        if (node.Shape(0) is Shape data && node.Shape(1) is Shape indices)
        {
            node.Give(0, node.Input(0).DType, new Shape([.. indices.Dims[..^1], .. data.Dims[(batch + (int)indices[-1])..]]));
        }
    }

    public static void Slice(NodeShapes node)
    {
        ValueShape x = node.Input(0);
        if (x.Shape is not Shape shape || node.List("starts", 1) is not { } starts || node.List("ends", 2) is not { } ends
            || node.List("axes", 3, [.. Enumerable.Range(0, starts.Length).Select(i => (long)i)]) is not { } axes
            || node.List("steps", 4, [.. Enumerable.Repeat(1L, starts.Length)]) is not { } steps)
        {
            return;
        }

        long[] dims = [.. shape.Dims];
        ElementView view = ElementView.Of(x);
        for (int i = 0; i < axes.Length; i++)
        {
            int axis = NodeShapes.Axis(axes[i], shape.Rank);
            long size = dims[axis];
            long At(long place) => place < 0 ? place + size : place;
            long begin = steps[i] > 0 ? Math.Clamp(At(starts[i]), 0, size) : Math.Clamp(At(starts[i]), -1, size - 1);
            long end = steps[i] > 0 ? Math.Clamp(At(ends[i]), 0, size) : Math.Clamp(At(ends[i]), -1, size - 1);
            dims[axis] = Math.Max(0, steps[i] > 0 ? (end - begin + steps[i] - 1) / steps[i] : (begin - end - steps[i] - 1) / -steps[i]);
            view = view with { Offset = view.Offset + (begin * view.Strides[axis]), Strides = view.Strides.SetItem(axis, view.Strides[axis] * steps[i]) };
        }

        var cut = new Shape(dims);
        node.Give(0, x.DType, cut, view.Read(cut));
    }

    public static void ConstantOfShape(NodeShapes node)
    {
        var value = node.Node.Attribute("value") as AttributeValue.TensorValue;
        if (node.Integers(0) is { } dims)
        {
            var shape = new Shape(dims);
            double one = value is not null && SmallConstants.TryReadNumbers(value.Value, 1, out ImmutableArray<double> read) ? read[0] : 0;
            node.Give(0, value?.Value.DType ?? DType.F32, shape, shape.ElementCount <= ShapeInference.MostElements ? [.. Enumerable.Repeat(one, (int)shape.ElementCount)] : default);
        }
    }

    public static void Range(NodeShapes node)
    {
        if (node.Input(0).Elements is { IsDefault: false } start && node.Input(1).Elements is { IsDefault: false } limit && node.Input(2).Elements is { IsDefault: false } delta && delta[0] != 0)
        {
            long count = Math.Max(0, (long)Math.Ceiling((limit[0] - start[0]) / delta[0]));
            node.Give(0, node.Input(0).DType, new Shape(count), count <= ShapeInference.MostElements ? [.. Enumerable.Range(0, (int)count).Select(i => start[0] + (i * delta[0]))] : default);
        }
    }

    public static void OneHot(NodeShapes node)
    {
        if (node.Shape(0) is Shape indices && node.Integers(1) is [var depth])
        {
            int axis = NodeShapes.Axis(node.Node.Int("axis", -1), indices.Rank + 1);
            node.Give(0, node.Input(2).DType, new Shape([.. indices.Dims.Insert(axis, depth)]));
        }
    }

    public static void TopK(NodeShapes node)
    {
        if (node.Shape(0) is Shape shape && node.List("k", 1) is [var k])
        {
            Shape chosen = LayoutRules.With(shape, NodeShapes.Axis(node.Node.Int("axis", -1), shape.Rank), k);
            node.Give(0, node.Input(0).DType, chosen);
            node.Give(1, DType.I64, chosen);
        }
    }

    /// <summary>Places of elements other than zero: known where the elements are.</summary>
    public static void NonZero(NodeShapes node)
    {
        if (node.Input(0) is { Elements: { IsDefault: false } elements, Shape: Shape shape })
        {
            double[] places = [.. elements.Select((e, i) => (e, i)).Where(x => x.e != 0).Select(x => (double)x.i)];
            node.Give(0, DType.I64, new Shape(shape.Rank, places.Length), shape.Rank == 1 ? [.. places] : default);
        }
    }

    public static void EyeLike(NodeShapes node) =>
        node.Give(0, node.Node.Attribute("dtype") is AttributeValue.Int type ? OnnxTypes.FromNumber(type.Value) : node.Input(0).DType, node.Shape(0));
}
