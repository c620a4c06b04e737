using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Puts QuantizeLinear and DequantizeLinear around the chosen units. A value that a unit makes becomes codes at once, and everybody reads it through DequantizeLinear; a value from elsewhere is brought into
/// codes for the units only:
/// <code>
/// x -> Conv -> y -> ...      =>   x -> Q -> xq -> DQ -> Conv -> y_float -> Q -> yq -> DQ -> y -> ...
/// y -> HardSigmoid -> g      =>   yq -> DQ(scale * alpha, zero - beta / alpha / scale) -> LeakyRelu(1) -> Q(1/255, 0) -> gq -> DQ -> g
/// h -> Mul m -> Add a -> y   =>   h -> Q(scale / m, zero + a / scale) -> yq -> DQ(scale, zero) -> y
/// </code>
/// The second line: a line cut off at 0 and 1 is what codes of a scale with bounds are; LeakyRelu with slope 1 changes nothing and is an operator that ONNX Runtime computes by a table of 256 codes.
/// </summary>
internal sealed class QuantizedGraph
{
    private readonly GraphIndex _index;
    private readonly GraphEditor _editor;
    private readonly QdqNodes _qdq;
    private readonly QuantizationPlan _plan;
    private readonly UnitSelection _selection;
    private readonly Dictionary<string, string> _codes = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _brought = new(StringComparer.Ordinal);

    private readonly Func<WeightEncoding, IValueReader> _open;

    private QuantizedGraph(GraphIndex index, QuantizationPlan plan, Func<WeightEncoding, IValueReader> open)
    {
        _open = open;
        _index = index;
        _editor = new GraphEditor(index.Graph);
        _qdq = new QdqNodes(_editor);
        _plan = plan;
        _selection = plan.Selection;
    }

    /// <summary>The graph with quantised units.</summary>
    /// <param name="index">The graph.</param>
    /// <param name="plan">What was decided.</param>
    /// <param name="open">Reads constants that become codes.</param>
    public static Graph Build(GraphIndex index, QuantizationPlan plan, Func<WeightEncoding, IValueReader> open)
    {
        var builder = new QuantizedGraph(index, plan, open);
        foreach (QuantizableUnit unit in plan.Selection.Selected)
        {
            builder.Add(unit);
        }

        foreach ((string name, Tensor weight) in plan.Weights)
        {
            builder._editor.ReplaceInitializer(name, weight);
        }

        return DeadCode.Remove(builder._editor.Build());
    }

    private void Add(QuantizableUnit unit)
    {
        Node node = unit.Node;
        foreach (int input in unit.DataInputs)
        {
            node = node with { Inputs = node.Inputs.SetItem(input, Read(node.Inputs[input])) };
        }

        foreach (int input in unit.ConstantInputs)
        {
            node = node with { Inputs = node.Inputs.SetItem(input, Constant(node.Inputs[input])) };
        }

        if (_plan.Corrections.TryGetValue(unit.Output, out float[]? correction))
        {
            node = Corrected(node, correction);
        }

        if (!unit.WritesCodes)
        {
            _editor.ReplaceNode(unit.Position, node);
            return;
        }

        string floats = _editor.UniqueName($"{unit.Output}_float");
        QuantizedValue value = Value(unit.Output);
        if (unit.Kind == UnitKind.Gate && Line(unit) is (string codes, float scale, int zero))
        {
            string line = _editor.UniqueName($"{unit.Output}_line");
            var bound = new Node { Name = node.Name, OpType = "LeakyRelu", Inputs = [line], Outputs = [floats], Attributes = [new NodeAttribute("alpha", new AttributeValue.Float(1))] };
            _editor.ReplaceNode(unit.Position, [_qdq.Dequantize(codes, scale, zero, line), bound, .. Codes(unit.Output, floats, value.Scale, value.Zero)]);
            return;
        }

        bool absorbed = unit.IsScaled && Absorbs(value, unit.Offset);
        int last = unit.Position;
        foreach (int position in unit.Tail)
        {
            bool isConstant = unit.Activation is null || position != unit.Tail[0];
            if (absorbed && isConstant)
            {
                _editor.RemoveNode(position);
            }
            else
            {
                _editor.ReplaceNode(last, node);
                (last, node) = (position, _index.Graph.Nodes[position]);
            }
        }

        node = node with { Outputs = [floats] };
        _editor.ReplaceNode(last, absorbed
            ? [node, .. Codes(unit.Output, floats, value.Scale / unit.Factor, value.CodeOf(unit.Offset), value)]
            : [node, .. Codes(unit.Output, floats, value.Scale, value.Zero)]);
    }

    /// <summary>The node with another bias.</summary>
    private Node Corrected(Node node, float[] correction)
    {
        float[] bias = FloatConstant.Read(_index.Constant(node.Input(2))) ?? new float[correction.Length];
        string name = node.Input(2);
        bool own = name.Length > 0 && _index.Uses(name).Count == 1 && !_index.IsOutput(name);
        name = own ? name : _editor.UniqueName(name.Length > 0 ? $"{name}_corrected" : $"{node.Inputs[1]}_bias");
        Tensor corrected = SmallConstants.Floats(name, new Shape(bias.Length), [.. bias.Zip(correction, (b, c) => b + c)]);
        if (own)
        {
            _editor.ReplaceInitializer(name, corrected);
        }
        else
        {
            _editor.AddInitializer(corrected);
        }

        return node with { Inputs = [node.Inputs[0], node.Inputs[1], name] };
    }

    private QuantizedValue Value(string value) => _plan.Values[_selection.Source(value)];

    private static bool Absorbs(QuantizedValue value, float offset)
    {
        double steps = (double)offset / value.Scale;
        return value.CodeOf(offset) is >= 0 and <= QuantizedValue.Codes && Math.Abs(steps - Math.Round(steps)) <= 1.0 / 16;
    }

    /// <summary>HardSigmoid as another reading of the codes of its input: the codes, scale and zero; null where the zero would not be a code.</summary>
    private (string Codes, float Scale, int Zero)? Line(QuantizableUnit unit)
    {
        string input = unit.Node.Inputs[0];
        QuantizedValue value = Value(input);
        double steps = unit.GateOffset / value.Scale;
        int zero = value.CodeOf(-unit.GateOffset);
        return Math.Abs(steps - Math.Round(steps)) <= 1.0 / 16 && zero >= 0 && _codes.TryGetValue(input, out string? codes)
            ? (codes, value.Scale * unit.Node.Float("alpha", 0.2f), zero)
            : null;
    }

    /// <summary>The name under which a unit reads a value.</summary>
    private string Read(string value)
    {
        if (_selection.MakesCodes(value))
        {
            return value;
        }

        if (!_brought.TryGetValue(value, out string? name))
        {
            QuantizedValue parameters = Value(value);
            name = _editor.UniqueName($"{value}_dequantized");
            string codes = _editor.UniqueName($"{value}_quantized");
            Node[] nodes = [_qdq.Quantize(value, parameters.Scale, parameters.Zero, codes), _qdq.Dequantize(codes, parameters.Scale, parameters.Zero, name)];
            if (_index.ProducerIndex(value) is >= 0 and int producer)
            {
                _editor.InsertAfter(producer, nodes);
            }
            else
            {
                _editor.InsertFirst(nodes);
            }

            _brought.Add(value, name);
        }

        return name;
    }

    /// <summary>The name under which a unit reads a constant that is stored as codes.</summary>
    private string Constant(string name)
    {
        if (!_brought.TryGetValue(name, out string? read))
        {
            Tensor tensor = _index.Constant(name)!;
            float[] values = new float[tensor.Shape.ElementCount];
            IValueReader reader = _open(tensor.Encoding);
            reader.ReadRows(0, checked((int)reader.Shape.Rows), values);
            QuantizedValue parameters = QuantizedValue.Of(values.Min(), values.Max());
            byte[] codes = [.. values.Select(v => (byte)Math.Clamp(Math.Round(v / parameters.Scale) + parameters.Zero, 0, QuantizedValue.Codes))];
            string stored = _editor.UniqueName($"{name}_quantized");
            read = _editor.UniqueName($"{name}_dequantized");
            _editor.AddInitializer(Tensor.Raw(stored, DType.U8, tensor.Shape, TensorData.FromBytes(codes)));
            _editor.InsertFirst(_qdq.Dequantize(stored, parameters.Scale, parameters.Zero, read));
            _brought.Add(name, read);
        }

        return read;
    }

    /// <summary>Floats into codes, and codes back into the floats that all readers get.</summary>
    private Node[] Codes(string value, string floats, float scale, int zero, QuantizedValue? read = null)
    {
        string codes = _editor.UniqueName($"{value}_quantized");
        _codes.Add(value, codes);
        return [_qdq.Quantize(floats, scale, zero, codes), _qdq.Dequantize(codes, read?.Scale ?? scale, read?.Zero ?? zero, value)];
    }
}
