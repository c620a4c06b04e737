using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Rounds values of a graph by operators that ONNX Runtime has:
/// <code>
/// static   x => DQ(Q(x, s), s)                                        s a constant, Q to f8; behind a Transpose or Reshape DQ(Q(x / s, 1), s)
/// tensor   x => DQ(Q(x, s), s)                                        s = max(max |x|, least) / largest number of the format
///          x => q, s, z = DynamicQuantizeLinear(x);  DQ(q, s, z)      int8
/// row      x => DQ(Q(x / s, 1), 1) * s                                s as above, over the last axis (of a convolution: over a sample)
/// </code>
/// A value that several layers read is rounded once.
/// </summary>
/// <param name="editor">Takes nodes and constants.</param>
/// <param name="index">The same graph.</param>
/// <param name="format">One of <see cref="Formats"/>.</param>
internal sealed class InputRounding(GraphEditor editor, GraphIndex index, string format)
{
    /// <summary>Unsigned 8-bit codes.</summary>
    public const string Int8 = "int8";

    /// <summary>The first operator set whose QuantizeLinear makes 8-bit floats.</summary>
    public const long FloatOpset = 19;

    /// <summary>The first operator set in which weights have a scale per output.</summary>
    public const long IntegerOpset = 13;

    /// <summary>The least magnitude of a row or tensor of other numbers than zeros that scales keep apart from zero: scales stay normal numbers.</summary>
    private const float LeastMagnitude = 1e-30f;

    /// <summary>
    /// Operators through which ONNX Runtime (1.31) carries a QuantizeLinear with constant scale back, whether they take 8-bit floats or not: Transpose and MaxPool do not. A division stops it.
    /// </summary>
    private static readonly HashSet<string> Movers = new(StringComparer.Ordinal) { "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice", "MaxPool", "Expand", "Concat", "Split", "Identity", "Gather" };

    private readonly QdqNodes _qdq = new(editor);
    private readonly Dictionary<(string Value, int Axes), string> _rounded = [];

    /// <summary>Formats of the rounded values.</summary>
    public static IReadOnlyList<string> Formats { get; } = ["f8e4m3fn", "f8e5m2", Int8];

    /// <summary>What scales belong to.</summary>
    public static IReadOnlyList<string> Scales { get; } = ["static", "tensor", "row"];

    /// <summary>A static scale: <paramref name="largest"/> becomes <paramref name="backoff"/> times the largest number of the format.</summary>
    /// <param name="format">A format of 8-bit floats.</param>
    /// <param name="largest">Largest magnitude of the values; 0: the scale is 1.</param>
    /// <param name="backoff">Above 0, at most 1.</param>
    /// <param name="powerOfTwo">Rounds the scale up to a power of two.</param>
    public static float Scale(string format, double largest, double backoff, bool powerOfTwo)
    {
        if (largest == 0)
        {
            return 1;
        }

        double scale = Math.Max(LeastMagnitude, largest / (Largest(format) * backoff));
        if (!powerOfTwo)
        {
            return (float)scale;
        }

        int exponent = Math.ILogB(scale);
        return (float)Math.ScaleB(1, Math.ScaleB(1, exponent) < scale ? exponent + 1 : exponent);
    }

    /// <summary>True for a value that has come out of codes.</summary>
    public static bool IsRounded(GraphIndex index, string value) =>
        index.Producer(value) is Node maker && (maker.Is("DequantizeLinear") || (maker.Is("Mul") && index.Producer(maker.Input(0))?.Is("DequantizeLinear") == true));

    /// <summary>The name of the value rounded with a constant scale.</summary>
    public string Static(string value, float scale) => Once(value, 0, () =>
    {
        string codes = editor.UniqueName($"{value}_quantized");
        string rounded = editor.UniqueName($"{value}_dequantized");
        string name = Constant($"{value}_scale", scale);
        if (index.Producer(value) is { Domain: "" } maker && Movers.Contains(maker.OpType))
        {
            string scaled = editor.UniqueName($"{value}_scaled");
            var divide = new Node { OpType = "Div", Inputs = [value, name], Outputs = [scaled] };
            return ([divide, _qdq.QuantizeFloat(scaled, Constant($"{value}_unit", 1), Type, codes), QdqNodes.DequantizeFloat(codes, name, rounded)], rounded);
        }

        return ([_qdq.QuantizeFloat(value, name, Type, codes), QdqNodes.DequantizeFloat(codes, name, rounded)], rounded);
    });

    /// <summary>The name of the value rounded with a scale of its largest magnitude in each run.</summary>
    public string PerTensor(string value) => Once(value, 0, () =>
    {
        string codes = editor.UniqueName($"{value}_quantized");
        string rounded = editor.UniqueName($"{value}_dequantized");
        string scale = editor.UniqueName($"{value}_scale");
        if (format == Int8)
        {
            string zero = editor.UniqueName($"{value}_zero_point");
            return
            (
                [
                    new Node { Name = $"{value}_DynamicQuantizeLinear", OpType = "DynamicQuantizeLinear", Inputs = [value], Outputs = [codes, scale, zero] },
                    new Node { Name = $"{value}_DequantizeLinear", OpType = "DequantizeLinear", Inputs = [codes, scale, zero], Outputs = [rounded] },
                ],
                rounded);
        }

        return ([.. Measured(value, null, scale), _qdq.QuantizeFloat(value, scale, Type, codes), QdqNodes.DequantizeFloat(codes, scale, rounded)], rounded);
    });

    /// <summary>The name of the value rounded with a scale for each row in each run.</summary>
    /// <param name="value">The value.</param>
    /// <param name="sampleAxes">Axes that a row takes; 0: the last one.</param>
    public string PerRow(string value, int sampleAxes) => Once(value, sampleAxes, () =>
    {
        string codes = editor.UniqueName($"{value}_quantized");
        string rounded = editor.UniqueName($"{value}_dequantized");
        string scale = editor.UniqueName($"{value}_scale");
        string scaled = editor.UniqueName($"{value}_scaled");
        string unscaled = editor.UniqueName($"{value}_rounded");
        string one = Constant($"{value}_unit", 1);
        long[] axes = sampleAxes == 0 ? [-1] : [.. Enumerable.Range(1, sampleAxes).Select(a => (long)a)];
        return
        (
            [
                .. Measured(value, axes, scale),
                new Node { OpType = "Div", Inputs = [value, scale], Outputs = [scaled] },
                _qdq.QuantizeFloat(scaled, one, Type, codes),
                QdqNodes.DequantizeFloat(codes, one, unscaled),
                new Node { OpType = "Mul", Inputs = [unscaled, scale], Outputs = [rounded] },
            ],
            rounded);
    });

    private DType Type => DTypes.TryParse(format, out DType type) ? type : throw new InvalidOperationException($"'{format}' is no element type");

    private static double Largest(string format) => format == "f8e5m2" ? 57344 : 448;

    /// <summary>Nodes that compute the scale of a value.</summary>
    private Node[] Measured(string value, long[]? axes, string scale)
    {
        string magnitudes = editor.UniqueName($"{value}_magnitudes");
        string largest = editor.UniqueName($"{value}_largest");
        string above = editor.UniqueName($"{value}_above");
        var inputs = ImmutableArray.Create(magnitudes);
        if (axes is not null)
        {
            string name = editor.UniqueName($"{value}_axes");
            editor.AddInitializer(SmallConstants.Integers(name, new Shape(axes.Length), axes));
            inputs = inputs.Add(name);
        }

        return
        [
            new Node { OpType = "Abs", Inputs = [value], Outputs = [magnitudes] },
            new Node { OpType = "ReduceMax", Inputs = inputs, Outputs = [largest], Attributes = [new NodeAttribute("keepdims", new AttributeValue.Int(axes is null ? 0 : 1))] },
            new Node { OpType = "Max", Inputs = [largest, Constant($"{value}_least", LeastMagnitude)], Outputs = [above] },
            new Node { OpType = "Div", Inputs = [above, Constant($"{value}_full_scale", (float)Largest(format))], Outputs = [scale] },
        ];
    }

    private string Constant(string stem, float value)
    {
        string name = editor.UniqueName(stem);
        editor.AddInitializer(SmallConstants.Floats(name, Shape.Scalar, [value]));
        return name;
    }

    private string Once(string value, int axes, Func<(Node[] Nodes, string Rounded)> make)
    {
        if (!_rounded.TryGetValue((value, axes), out string? name))
        {
            (Node[] nodes, name) = make();
            if (index.ProducerIndex(value) is >= 0 and int producer)
            {
                editor.InsertAfter(producer, nodes);
            }
            else
            {
                editor.InsertFirst(nodes);
            }

            _rounded.Add((value, axes), name);
        }

        return name;
    }
}
