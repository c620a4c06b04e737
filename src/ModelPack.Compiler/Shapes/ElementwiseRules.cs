using System.Collections.Immutable;

namespace ModelPack.Compiler.Shapes;

/// <summary>Operators that make each element of elements at the same place.</summary>
internal static class ElementwiseRules
{
    /// <summary>Shape and type of the first input.</summary>
    public static void Same(NodeShapes node) => node.Give(0, node.Input(0) with { Elements = default });

    /// <summary>A function of every element.</summary>
    public static ShapeRule Unary(Func<double, double> function) => node =>
    {
        ValueShape x = node.Input(0);
        node.Give(0, x.DType, x.Shape, x.Elements.IsDefault ? default : [.. x.Elements.Select(e => Round(function(e), x.DType))]);
    };

    /// <summary>A function of the elements of two or more inputs, broadcast to one shape.</summary>
    public static ShapeRule Broadcast(Func<double, double, double>? function = null, DType? result = null) => node =>
    {
        ValueShape[] inputs = [.. Enumerable.Range(0, node.Node.Inputs.Length).Select(node.Input)];
        DType dtype = result ?? inputs[0].DType;
        Shape? shape = Together(inputs);
        ImmutableArray<double> elements = default;
        if (function is not null && shape is Shape all && inputs.All(i => !i.Elements.IsDefault) && all.ElementCount <= ShapeInference.MostElements)
        {
            elements = inputs.Select(i => Expand(i, all)).Aggregate((a, b) => [.. a.Zip(b, (x, y) => Round(function(x, y), dtype))]);
        }

        node.Give(0, dtype, shape, elements);
    };

    /// <summary>Quotients: of integers towards zero.</summary>
    public static void Divide(NodeShapes node)
    {
        bool whole = node.Input(0).DType.IsInteger();
        bool possible = node.Input(1).Elements is { IsDefault: false } by && !(whole && by.Contains(0));
        Broadcast(!possible ? null : whole ? (a, b) => Math.Truncate(a / b) : (a, b) => a / b)(node);
    }

    public static void Where(NodeShapes node)
    {
        ValueShape condition = node.Input(0);
        ValueShape yes = node.Input(1);
        ValueShape no = node.Input(2);
        Shape? shape = Together(condition, yes, no);
        ImmutableArray<double> elements = default;
        if (shape is Shape all && all.ElementCount <= ShapeInference.MostElements && !condition.Elements.IsDefault && !yes.Elements.IsDefault && !no.Elements.IsDefault)
        {
            ImmutableArray<double> a = Expand(yes, all);
            ImmutableArray<double> b = Expand(no, all);
            elements = [.. Expand(condition, all).Select((c, i) => c != 0 ? a[i] : b[i])];
        }

        node.Give(0, yes.DType, shape, elements);
    }

    public static void Cast(NodeShapes node)
    {
        ValueShape x = node.Input(0);
        DType to = OnnxTypes.FromNumber(node.Node.Int("to", 0));
        node.Give(0, to, x.Shape, x.Elements.IsDefault ? default : [.. x.Elements.Select(e => to == DType.Bool ? (e != 0 ? 1 : 0) : Round(e, to))]);
    }

    /// <summary>The shape and elements of the first input, the type of the second.</summary>
    public static void CastLike(NodeShapes node) => node.Give(0, node.Input(1).DType, node.Shape(0));

    public static void Dropout(NodeShapes node)
    {
        node.Give(0, node.Input(0));
        node.Give(1, DType.Bool, node.Shape(0));
    }

    /// <summary>The shape that NumPy's broadcasting gives; null where an input has none.</summary>
    /// <exception cref="ArgumentException">They do not fit together.</exception>
    public static Shape? Together(params ReadOnlySpan<ValueShape> inputs)
    {
        var shapes = new List<Shape>();
        foreach (ValueShape input in inputs)
        {
            if (input.Shape is not Shape shape)
            {
                return null;
            }

            shapes.Add(shape);
        }

        return Together(shapes);
    }

    /// <summary>As above, of shapes.</summary>
    public static Shape Together(IReadOnlyList<Shape> shapes)
    {
        int rank = shapes.Max(s => s.Rank);
        long[] dims = new long[rank];
        Array.Fill(dims, 1);
        foreach (Shape shape in shapes)
        {
            for (int i = 0; i < shape.Rank; i++)
            {
                ref long at = ref dims[i + rank - shape.Rank];
                at = at == 1 ? shape[i] : shape[i] == 1 || shape[i] == at ? at : throw new ArgumentException($"{shape[i]} places beside {at}", nameof(shapes));
            }
        }

        return new Shape(dims);
    }

    /// <summary>The elements of a value, repeated to a shape; default where they are not known.</summary>
    public static ImmutableArray<double> Expand(ValueShape value, Shape to)
    {
        ElementView view = ElementView.Of(value);
        Shape from = value.Shape!.Value;
        int added = to.Rank - from.Rank;
        return (view with { Strides = [.. Enumerable.Range(0, to.Rank).Select(axis => axis < added || from[axis - added] == 1 ? 0 : view.Strides[axis - added])] }).Read(to);
    }

    /// <summary>What a type holds of a number.</summary>
    private static double Round(double value, DType dtype) => dtype == DType.F32 ? (float)value : dtype.IsInteger() ? Math.Truncate(value) : value;
}
