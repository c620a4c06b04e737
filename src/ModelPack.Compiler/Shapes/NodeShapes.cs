using System.Collections.Immutable;

namespace ModelPack.Compiler.Shapes;

/// <summary>A node as the rules see it: what is known of its inputs, and where they put what is known of its outputs.</summary>
internal sealed class NodeShapes
{
    private readonly Func<string, ValueShape> _find;
    private readonly ValueShape[] _outputs;

    /// <param name="node">The node.</param>
    /// <param name="opset">Version of the standard operators.</param>
    /// <param name="find">What is known of a value.</param>
    public NodeShapes(Node node, long opset, Func<string, ValueShape> find)
    {
        Node = node;
        Opset = opset;
        _find = find;
        _outputs = new ValueShape[node.Outputs.Length];
        Array.Fill(_outputs, ValueShape.Unknown);
    }

    public Node Node { get; }

    public long Opset { get; }

    /// <summary>What the rules found.</summary>
    public IReadOnlyList<ValueShape> Outputs => _outputs;

    public bool Has(int input) => Node.Input(input).Length > 0;

    public ValueShape Input(int input) => Node.Input(input) is { Length: > 0 } name ? _find(name) : ValueShape.Unknown;

    public Shape? Shape(int input) => Input(input).Shape;

    /// <summary>The elements of an input as integers; null where they are not known.</summary>
    public long[]? Integers(int input) => Input(input).Elements is { IsDefault: false } elements ? [.. elements.Select(e => (long)e)] : null;

    /// <summary>A list that older versions have as an attribute and newer ones as an input; null where it depends on data.</summary>
    public long[]? List(string attribute, int input, params long[] otherwise) => Node.Attribute(attribute) switch
    {
        AttributeValue.Ints list => [.. list.Values],
        AttributeValue.Int one => [one.Value],
        _ => Has(input) ? Integers(input) : otherwise,
    };

    public string Text(string attribute, string otherwise) => Node.Attribute(attribute) is AttributeValue.Text text ? text.ToString() : otherwise;

    /// <summary>A list of as many numbers as there are axes.</summary>
    public ImmutableArray<long> PerAxis(string attribute, int count, long otherwise) =>
        Node.Ints(attribute) is { IsEmpty: false } values ? values : [.. Enumerable.Repeat(otherwise, count)];

    public void Give(int output, DType dtype, Shape? shape, ImmutableArray<double> elements = default)
    {
        if (output < _outputs.Length)
        {
            bool fits = !elements.IsDefault && shape is Shape s && s.ElementCount == elements.Length && elements.Length <= ShapeInference.MostElements;
            _outputs[output] = new ValueShape(dtype, shape) { Elements = fits ? elements : default };
        }
    }

    public void Give(int output, ValueShape value)
    {
        if (output < _outputs.Length)
        {
            _outputs[output] = value;
        }
    }

    /// <summary>An axis counted from the front.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such axis.</exception>
    public static int Axis(long axis, int rank)
    {
        long positive = axis < 0 ? axis + rank : axis;
        ArgumentOutOfRangeException.ThrowIfNegative(positive, nameof(axis));
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(positive, rank, nameof(axis));
        return (int)positive;
    }
}
