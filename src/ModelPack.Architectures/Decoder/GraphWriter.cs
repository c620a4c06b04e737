using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Compiler;

namespace ModelPack.Architectures.Decoder;

/// <summary>Collects the nodes and constants of a graph. A value is called like the node that makes it: scope, slash, operator.</summary>
internal sealed class GraphWriter
{
    private const long OnnxFloat = 1;

    private readonly ImmutableArray<Node>.Builder _nodes = ImmutableArray.CreateBuilder<Node>();
    private readonly ImmutableArray<Tensor>.Builder _initializers = ImmutableArray.CreateBuilder<Tensor>();
    private readonly ImmutableArray<ValueInfo>.Builder _inputs = ImmutableArray.CreateBuilder<ValueInfo>();
    private readonly ImmutableArray<ValueInfo>.Builder _outputs = ImmutableArray.CreateBuilder<ValueInfo>();
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _constants = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _cast = new(StringComparer.Ordinal);

    /// <summary>Declares an input; a size that is a text is a symbol.</summary>
    public string Input(string name, DType dtype, params ReadOnlySpan<object> sizes)
    {
        _names.Add(name);
        _inputs.Add(new ValueInfo(name, TypeOf(dtype, sizes)));
        return name;
    }

    /// <summary>Declares an output; a node must make a value of that name (<see cref="Named"/>).</summary>
    public void Output(string name, DType dtype, params ReadOnlySpan<object> sizes) => _outputs.Add(new ValueInfo(name, TypeOf(dtype, sizes)));

    /// <summary>A tensor of the checkpoint, under its own name.</summary>
    public void Weight(Tensor tensor)
    {
        if (_names.Add(tensor.Name))
        {
            _initializers.Add(tensor);
        }
    }

    /// <summary>A tensor of the checkpoint as f32.</summary>
    public string AsFloat(Tensor tensor)
    {
        Weight(tensor);
        if (tensor.DType == DType.F32)
        {
            return tensor.Name;
        }

        if (!_cast.TryGetValue(tensor.Name, out string? value))
        {
            _cast[tensor.Name] = value = Op(tensor.Name, "Cast", [tensor.Name], Int("to", OnnxFloat));
        }

        return value;
    }

    /// <summary>A linear weight [out, in] of the checkpoint as the factor [in, out] of MatMul.</summary>
    public string Factor(Tensor tensor)
    {
        if (tensor.TryGetRawData(out _))
        {
            return Op(tensor.Name, "Transpose", [AsFloat(tensor)], Ints("perm", 1, 0));
        }

        // What is encoded already counts as f32 instead of being cast, and turning it is a matter of its encoding.
        WeightEncoding turned = Structured.Transpose(tensor.Encoding);
        Weight(tensor with { DType = DType.F32, Shape = turned.Shape, Encoding = turned });
        return tensor.Name;
    }

    /// <summary>An activation of every value.</summary>
    public string Activate(Activation activation, string x, string scope)
    {
        string Op(string op, params ReadOnlySpan<string> inputs) => this.Op(scope, op, inputs);
        string Constant(double value) => Scalar((float)value);
        switch (activation)
        {
            case Activation.Silu:
                return Op("Mul", x, Op("Sigmoid", x));
            case Activation.Relu:
                return Op("Relu", x);
            case Activation.SquaredRelu:
                string positive = Op("Relu", x);
                return Op("Mul", positive, positive);
            case Activation.Gelu:
                string erf = Op("Erf", Op("Div", x, Constant(Math.Sqrt(2))));
                return Op("Mul", Op("Mul", x, Op("Add", erf, Constant(1))), Constant(0.5));
            default:
                string cube = Op("Mul", Op("Mul", Op("Mul", x, x), x), Constant(0.044715));
                string tanh = Op("Tanh", Op("Mul", Op("Add", x, cube), Constant(Math.Sqrt(2 / Math.PI))));
                return Op("Mul", Op("Mul", x, Op("Add", tanh, Constant(1))), Constant(0.5));
        }
    }

    /// <summary>A node with one output.</summary>
    public string Op(string scope, string op, ReadOnlySpan<string> inputs, params ReadOnlySpan<NodeAttribute> attributes) => Named(null, scope, op, inputs, attributes);

    /// <summary>A node with one output, whose name is given unless it is null.</summary>
    public string Named(string? output, string scope, string op, ReadOnlySpan<string> inputs, params ReadOnlySpan<NodeAttribute> attributes)
    {
        string name = Unique($"{scope}/{op}");
        string result = output is null ? name : Unique(output);
        _nodes.Add(new Node { Name = name, OpType = op, Inputs = [.. inputs], Outputs = [result], Attributes = [.. attributes] });
        return result;
    }

    /// <summary>A node of another domain; its first output is its value, the others have given names.</summary>
    public string Foreign(string domain, string scope, string op, ReadOnlySpan<string> inputs, ReadOnlySpan<string> others, params ReadOnlySpan<NodeAttribute> attributes)
    {
        string name = Unique($"{scope}/{op}");
        var outputs = ImmutableArray.CreateBuilder<string>(others.Length + 1);
        outputs.Add(name);
        foreach (string other in others)
        {
            outputs.Add(Unique(other));
        }

        _nodes.Add(new Node { Name = name, OpType = op, Domain = domain, Inputs = [.. inputs], Outputs = outputs.MoveToImmutable(), Attributes = [.. attributes] });
        return name;
    }

    /// <summary>A node with several outputs.</summary>
    public ImmutableArray<string> Ops(string scope, string op, int outputs, ReadOnlySpan<string> inputs)
    {
        string name = Unique($"{scope}/{op}");
        ImmutableArray<string> results = [.. Enumerable.Range(0, outputs).Select(i => Unique(string.Create(CultureInfo.InvariantCulture, $"{name}.{i}")))];
        _nodes.Add(new Node { Name = name, OpType = op, Inputs = [.. inputs], Outputs = results });
        return results;
    }

    /// <summary>Cuts a value along its last axis.</summary>
    public ImmutableArray<string> Split(string scope, string value, params long[] sizes) => SplitAt(scope, value, -1, sizes);

    /// <summary>Cuts a value along an axis.</summary>
    public ImmutableArray<string> SplitAt(string scope, string value, long axis, params long[] sizes)
    {
        string name = Unique($"{scope}/Split");
        ImmutableArray<string> parts = [.. sizes.Select((_, i) => Unique(string.Create(CultureInfo.InvariantCulture, $"{name}.{i}")))];
        _nodes.Add(new Node { Name = name, OpType = "Split", Inputs = [value, Integers(sizes)], Outputs = parts, Attributes = [Int("axis", axis)] });
        return parts;
    }

    /// <summary>An f32 scalar; equal ones are one initializer.</summary>
    public string Scalar(float value) => Constant(string.Create(CultureInfo.InvariantCulture, $"f32:{value:R}"), name => SmallConstants.Floats(name, Shape.Scalar, [value]));

    /// <summary>An i64 scalar.</summary>
    public string Index(long value) => Constant(string.Create(CultureInfo.InvariantCulture, $"i64:{value}"), name => SmallConstants.Integers(name, Shape.Scalar, [value]));

    /// <summary>A list of i64: shapes, axes, sizes.</summary>
    public string Integers(params long[] values) => Constant($"i64:[{string.Join(',', values.Select(v => v.ToString(CultureInfo.InvariantCulture)))}]", name => SmallConstants.Integers(name, new Shape(values.Length), values));

    /// <summary>A constant matrix [1, n] of f32.</summary>
    public string Row(string name, ImmutableArray<float> values) => Constant(name, unique => SmallConstants.Floats(unique, new Shape(1, values.Length), values.AsSpan()));

    /// <summary>A constant list of i64.</summary>
    public string List(string name, ImmutableArray<long> values) => Constant(name, unique => SmallConstants.Integers(unique, new Shape(values.Length), values.AsSpan()));

    public Graph Build(string name) => new()
    {
        Name = name,
        Inputs = _inputs.ToImmutable(),
        Outputs = _outputs.ToImmutable(),
        Nodes = _nodes.ToImmutable(),
        Initializers = _initializers.ToImmutable(),
    };

    public static NodeAttribute Int(string name, long value) => new(name, new AttributeValue.Int(value));

    public static NodeAttribute Float(string name, float value) => new(name, new AttributeValue.Float(value));

    public static NodeAttribute Text(string name, string value) => new(name, new AttributeValue.Text(value));

    public static NodeAttribute Ints(string name, params ReadOnlySpan<long> values) => new(name, new AttributeValue.Ints([.. values]));

    private string Constant(string key, Func<string, Tensor> make)
    {
        if (!_constants.TryGetValue(key, out string? name))
        {
            _constants[key] = name = Unique(key);
            _initializers.Add(make(name));
        }

        return name;
    }

    private string Unique(string stem)
    {
        string name = stem;
        for (int i = 1; !_names.Add(name); i++)
        {
            name = string.Create(CultureInfo.InvariantCulture, $"{stem}_{i}");
        }

        return name;
    }

    private static Compiler.ValueType TypeOf(DType dtype, ReadOnlySpan<object> sizes)
    {
        var dims = ImmutableArray.CreateBuilder<Dimension>(sizes.Length);
        foreach (object size in sizes)
        {
            dims.Add(size is string symbol ? new Dimension(null, symbol) : new Dimension((long)size));
        }

        return new Compiler.ValueType(dtype, dims.MoveToImmutable());
    }
}
