using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Finds the units of a graph that can work on 8-bit activations: from weighted nodes on, forwards, as far as operators go that ONNX Runtime has on codes.</summary>
internal sealed class QuantizableNetwork
{
    /// <summary>Operators that give something else than floats.</summary>
    private static readonly HashSet<string> MakesNoFloats = new(StringComparer.Ordinal)
    {
        "Shape", "Size", "ArgMax", "ArgMin", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "IsNaN", "IsInf", "NonZero", "NonMaxSuppression", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear",
    };

    private readonly GraphIndex _index;
    private readonly long _opset;
    private readonly Dictionary<string, QuantizableUnit> _byOutput = new(StringComparer.Ordinal);
    private readonly HashSet<int> _taken = [];
    private readonly HashSet<string> _floats = new(StringComparer.Ordinal);

    /// <param name="index">The main graph of a canonical model.</param>
    /// <param name="opset">Version of the standard operator set.</param>
    /// <param name="all">True: every operator that makes floats of floats is a unit, whoever may run it.</param>
    public QuantizableNetwork(GraphIndex index, long opset, bool all)
    {
        _index = index;
        _opset = opset;
        All = all;
        _floats.UnionWith(index.Graph.Inputs.Where(i => all && i.Type.DType == DType.F32 && index.Initializer(i.Name) is null).Select(i => i.Name));
        var units = ImmutableArray.CreateBuilder<QuantizableUnit>();
        for (int i = 0; i < index.Graph.Nodes.Length; i++)
        {
            if (!_taken.Contains(i) && Find(i) is QuantizableUnit unit)
            {
                units.Add(unit);
                _byOutput.Add(unit.Output, unit);
                _floats.Add(unit.Output);
            }
        }

        Units = units.ToImmutable();
    }

    /// <summary>True when nothing is to stay float.</summary>
    public bool All { get; }

    /// <summary>All units in graph order.</summary>
    public ImmutableArray<QuantizableUnit> Units { get; }

    /// <summary>The unit that makes a value; null for all other values.</summary>
    public QuantizableUnit? Maker(string value) => _byOutput.GetValueOrDefault(value);

    /// <summary>The value whose codes a value has: itself, or what it was moved from.</summary>
    public string Root(string value) => Maker(value) is { Kind: UnitKind.Passing } unit ? Root(unit.Node.Inputs[0]) : value;

    /// <summary>
    /// Values whose negative part below some point is lost on everybody who reads them: x in x * HardSigmoid(x), which is 0 below -beta / alpha.
    /// </summary>
    public Dictionary<string, double> Floors()
    {
        var floors = new Dictionary<string, double>(StringComparer.Ordinal);
        foreach (QuantizableUnit gate in Units.Where(u => u.Kind == UnitKind.Gate))
        {
            string value = gate.Node.Inputs[0];
            bool Multiplies(Node node) => node.Is("Mul") && node.Inputs.Contains(gate.Output) && node.Inputs.Contains(value);
            if (!_index.IsOutput(value) && _index.Uses(value).All(u => ReferenceEquals(u.Owner, _index.Graph) && (ReferenceEquals(u.Node, gate.Node) || Multiplies(u.Node))))
            {
                floors.Add(value, -gate.GateOffset);
            }
        }

        return floors;
    }

    private QuantizableUnit? Find(int position)
    {
        Node node = _index.Graph.Nodes[position];
        if (node.Domain.Length > 0 || node.Outputs.IsEmpty || node.Outputs.Skip(1).Any(o => o.Length > 0 && !_index.IsUnused(o)))
        {
            return null;
        }

        if (Weighted(position, node) is QuantizableUnit weighted)
        {
            return WithTail(weighted);
        }

        // All others continue what a unit before them made, which also says that their values are floats.
        int[] activations = [.. Enumerable.Range(0, node.Inputs.Length).Where(k => _floats.Contains(node.Inputs[k]))];
        bool Is(params ReadOnlySpan<string> operators) => operators.Contains(node.OpType);
        UnitKind? kind = true switch
        {
            _ when activations.Length == 0 => null,
            _ when Is("Add", "Mul") && node.Inputs.All(i => _index.Constant(i) is null) => UnitKind.Arithmetic,
            _ when Is("GlobalAveragePool", "AveragePool", "LeakyRelu", "Sigmoid") => UnitKind.Unary,
            _ when Is("HardSigmoid") && node.Float("alpha", 0.2f) > 0 && node.Float("beta", 0.5f) >= 0 => UnitKind.Gate,
            _ when Is("Concat") && activations.Length == node.Inputs.Length => UnitKind.Concat,
            _ when Is("MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose") && activations is [0] && node.Outputs.Length == 1 => UnitKind.Passing,
            _ when All && Is("Slice", "Gather", "Expand", "DepthToSpace", "SpaceToDepth", "Identity", "Tile") && activations is [0] && node.Outputs.Length == 1 => UnitKind.Passing,
            _ when Is("Resize") && activations is [0] && (node.Attribute("mode") ?? new AttributeValue.Text("nearest")).ToString() == "nearest" => UnitKind.Passing,
            _ when All && !MakesNoFloats.Contains(node.OpType) && (node.OpType != "Cast" || node.Int("to", 0) == 1) => UnitKind.Any,
            _ => null,
        };
        if (kind is not UnitKind found)
        {
            return null;
        }

        ImmutableArray<int> data = found switch
        {
            UnitKind.Arithmetic or UnitKind.Concat => [.. Enumerable.Range(0, node.Inputs.Length)],
            UnitKind.Any => [.. activations],
            _ => [0],
        };
        var unit = new QuantizableUnit { Kind = found, Position = position, Node = node, DataInputs = data, Output = node.Outputs[0], WritesCodes = true };
        return found switch
        {
            UnitKind.Arithmetic => WithTail(unit),
            UnitKind.Any => unit with { ConstantInputs = [.. Enumerable.Range(0, node.Inputs.Length).Where(k => IsOperand(node, k))] },
            _ => unit,
        };
    }

    /// <summary>True for a float constant that takes part in the arithmetic, unlike a bound of Clip or a scale of Resize.</summary>
    private bool IsOperand(Node node, int input) =>
        node.OpType is "Add" or "Sub" or "Mul" or "Div" or "Min" or "Max" or "Pow" or "PRelu" or "MatMul" or "ConvTranspose" or "Concat" or "Where"
        && _index.Constant(node.Inputs[input]) is { DType: DType.F32, Shape.ElementCount: > 0 } constant && constant.TryGetRawData(out _)
        && !(node.OpType == "ConvTranspose" && input == 2);

    private QuantizableUnit? Weighted(int position, Node node)
    {
        if (node.OpType is not ("Conv" or "MatMul" or "Gemm") || _index.Constant(node.Input(1)) is not { DType: DType.F32 } weight || weight.Shape.ElementCount == 0
            || _index.IsOutput(weight.Name) || _index.Constant(node.Inputs[0]) is not null || (node.Input(2).Length > 0 && Bias(node) is null))
        {
            return null;
        }

        bool fits = node.OpType switch
        {
            "Conv" => weight.Shape.Rank is 3 or 4,
            "Gemm" => weight.Shape.Rank == 2 && node.Int("transA", 0) == 0 && node.Float("alpha", 1) == 1 && (node.Input(2).Length == 0 || node.Float("beta", 1) == 1),
            _ => weight.Shape.Rank == 2,
        };
        return fits ? new QuantizableUnit { Kind = UnitKind.Weighted, Position = position, Node = node, DataInputs = [0], Output = node.Outputs[0], Weight = weight, WritesCodes = All || node.OpType != "MatMul" } : null;
    }

    /// <summary>The bias of a weighted node as a constant vector.</summary>
    private Tensor? Bias(Node node) => _index.Constant(node.Input(2)) is { DType: DType.F32, Shape.Rank: 1 } bias && bias.TryGetRawData(out _) ? bias : null;

    private QuantizableUnit WithTail(QuantizableUnit unit)
    {
        if (Next(unit.Output) is { } activation && (activation.Node.Is("Relu") || IsRange(activation.Node)))
        {
            unit = unit with { Activation = activation.Node, Tail = [activation.NodeIndex], Output = activation.Node.Outputs[0] };
        }

        // Constants behind a Conv were folded into it; behind the product of a gate they wait here. Those that codes cannot absorb would be float.
        double factor = 1;
        double offset = 0;
        string output = unit.Output;
        ImmutableArray<int> tail = unit.Tail;
        while (!All && unit.Kind == UnitKind.Arithmetic && Next(output) is { } use && use.Node is { Domain: "", OpType: "Mul" or "Add", Inputs.Length: 2 }
            && FloatConstant.Scalar(_index.Constant(use.Node.Inputs[1 - use.InputIndex]), 1) is float constant && (use.Node.OpType == "Add" || constant > 0))
        {
            factor = use.Node.OpType == "Mul" ? factor * constant : factor;
            offset = use.Node.OpType == "Mul" ? offset * constant : offset + constant;
            output = use.Node.Outputs[0];
            tail = tail.Add(use.NodeIndex);
        }

        _taken.UnionWith(tail);
        bool usable = float.IsNormal((float)factor) && float.IsFinite((float)offset);
        return usable ? unit with { Tail = tail, Output = output, Factor = (float)factor, Offset = (float)offset } : unit;
    }

    /// <summary>The only reader of a value that is no output.</summary>
    private ValueUse? Next(string value) => !_index.IsOutput(value) && _index.Uses(value) is [ValueUse use] && ReferenceEquals(use.Owner, _index.Graph) ? use : null;

    /// <summary>Clip between constants, with a range that holds 0.</summary>
    private bool IsRange(Node node)
    {
        if (!node.Is("Clip"))
        {
            return false;
        }

        (float? low, float? high) = _opset < 11
            ? (node.Float("min", float.MinValue), node.Float("max", float.MaxValue))
            : (FloatConstant.Scalar(_index.Constant(node.Input(1)), 1), FloatConstant.Scalar(_index.Constant(node.Input(2)), 1));
        return low <= 0 && high > 0;
    }
}
