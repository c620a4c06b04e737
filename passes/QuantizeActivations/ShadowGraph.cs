using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>
/// The float model with every chosen unit once more beside it, quantised and reading what the float model computes: what that makes of the unit's output, by itself, is the difference of two values of one run.
/// Differences have their channels last.
/// </summary>
internal sealed class ShadowGraph
{
    private readonly Model _model;
    private readonly QuantizationPlan _plan;
    private readonly IReadOnlyDictionary<string, double> _floors;
    private readonly GraphEditor _editor;
    private readonly QdqNodes _qdq;
    private readonly List<Node> _added = [];
    private readonly Dictionary<string, string> _read = new(StringComparer.Ordinal);

    private ShadowGraph(Model model, QuantizationPlan plan, IReadOnlyDictionary<string, double> floors)
    {
        _model = model;
        _plan = plan;
        _floors = floors;
        _editor = new GraphEditor(model.Graph);
        _qdq = new QdqNodes(_editor);
    }

    /// <summary>What to measure of a weighted unit.</summary>
    /// <param name="Unit">The unit.</param>
    /// <param name="Signal">Its output in the float model, as far as it matters to what reads it, channels last.</param>
    /// <param name="Noise">What the quantised output differs from that, channels last.</param>
    public sealed record Measure(QuantizableUnit Unit, CalibrationTap Signal, CalibrationTap Noise);

    /// <summary>Builds the graph.</summary>
    /// <param name="model">The float model.</param>
    /// <param name="plan">What was decided.</param>
    /// <param name="floors">Values below which all are alike, by value.</param>
    public static (Model Model, IReadOnlyList<Measure> Measures) Build(Model model, QuantizationPlan plan, IReadOnlyDictionary<string, double> floors)
    {
        var shadow = new ShadowGraph(model, plan, floors);
        Measure[] measures = [.. plan.Selection.Selected.Where(u => u.Weight is not null).Select(shadow.Add)];
        shadow._editor.InsertBefore(model.Graph.Nodes.Length, [.. shadow._added]);
        return (model with { Graph = shadow._editor.Build() }, measures);
    }

    /// <summary>Builds a graph that tells what each weighted unit does to the outputs of the model when it alone is quantised.</summary>
    /// <param name="model">The float model.</param>
    /// <param name="plan">What was decided.</param>
    /// <returns>The model, the outputs that are compared, and by unit the differences; null when they cannot be measured.</returns>
    public static (Model Model, IReadOnlyList<CalibrationTap> Signals, Dictionary<QuantizableUnit, IReadOnlyDictionary<string, CalibrationTap>> Differences)? BuildOutputs(Model model, QuantizationPlan plan)
    {
        var shadow = new ShadowGraph(model, plan, new Dictionary<string, double>());
        var outputs = new OutputDifferences(model, shadow._editor, shadow._added);
        var differences = new Dictionary<QuantizableUnit, IReadOnlyDictionary<string, CalibrationTap>>(ReferenceEqualityComparer.Instance);
        foreach (QuantizableUnit unit in plan.Selection.Selected.Where(u => u.Weight is not null))
        {
            string made = shadow.Quantised(unit);
            if (outputs.Of(unit.Output, unit.WritesCodes ? shadow.Round(made, unit.Output) : made) is not { } found)
            {
                return null;
            }

            differences.Add(unit, found);
        }

        shadow._editor.InsertBefore(model.Graph.Nodes.Length, [.. shadow._added]);
        return outputs.Signals.Count == 0 ? null : (model with { Graph = shadow._editor.Build() }, outputs.Signals, differences);
    }

    /// <summary>Adds a unit with rounded inputs and weights once more; the name of its output, not rounded.</summary>
    private string Quantised(QuantizableUnit unit)
    {
        Node node = unit.Node;
        foreach (int input in unit.DataInputs)
        {
            string value = node.Inputs[input];
            if (!_read.TryGetValue(value, out string? rounded))
            {
                _read.Add(value, rounded = Round(value, value));
            }

            node = node with { Inputs = node.Inputs.SetItem(input, rounded) };
        }

        Tensor weight = unit.Weight!;
        string name = _editor.UniqueName($"{weight.Name}_shadow");
        _editor.AddInitializer(_plan.Weights[weight.Name] with { Name = name });
        node = node with { Inputs = node.Inputs.SetItem(1, name) };

        string before = node.Outputs[0];
        string made = Add(node);
        foreach (Node part in unit.Tail.Select(p => _model.Graph.Nodes[p]))
        {
            string from = made;
            made = Add(part with { Inputs = [.. part.Inputs.Select(i => i == before ? from : i)] });
            before = part.Outputs[0];
        }

        return made;
    }

    private Measure Add(QuantizableUnit unit)
    {
        Tensor weight = unit.Weight!;
        string made = Quantised(unit);
        string signal = unit.Output;
        if (_floors.TryGetValue(unit.Output, out double floor))
        {
            string bound = _editor.UniqueName($"{unit.Output}_floor");
            _editor.AddInitializer(SmallConstants.Floats(bound, Shape.Scalar, [(float)floor]));
            signal = Add(new Node { OpType = "Max", Inputs = [signal, bound], Outputs = [$"{signal}_above"] });
            made = Add(new Node { OpType = "Max", Inputs = [made, bound], Outputs = [$"{made}_above"] });
        }

        made = unit.WritesCodes ? Round(made, unit.Output) : made;
        string difference = Add(new Node { OpType = "Sub", Inputs = [signal, made], Outputs = [$"{unit.Output}_difference"] });
        if (unit.Node.Is("Conv"))
        {
            signal = Add(ChannelsLast(signal, weight.Shape.Rank));
            difference = Add(ChannelsLast(difference, weight.Shape.Rank));
        }

        int columns = checked((int)Int8Rows.Outputs(unit, weight));
        return new Measure(unit, new CalibrationTap(signal, columns, SecondMoments: false), new CalibrationTap(difference, columns, SecondMoments: false));
    }

    private static Node ChannelsLast(string value, int rank)
    {
        long[] perm = [0, .. Enumerable.Range(2, rank - 2), 1];
        return new Node { OpType = "Transpose", Inputs = [value], Outputs = [$"{value}_last"], Attributes = [new NodeAttribute("perm", new AttributeValue.Ints([.. perm]))] };
    }

    /// <summary>Adds a copy of a node under new names; the name of its result.</summary>
    private string Add(Node node)
    {
        string made = _editor.UniqueName($"{node.Outputs[0]}_shadow");
        _added.Add(node with { Name = "", Outputs = [made] });
        return made;
    }

    /// <summary>Rounds a value with the parameters of another.</summary>
    private string Round(string from, string value)
    {
        QuantizedValue p = _plan.Values[_plan.Selection.Source(value)];
        string codes = _editor.UniqueName($"{from}_shadow_codes");
        string floats = _editor.UniqueName($"{from}_shadow_floats");
        _added.Add(_qdq.Quantize(from, p.Scale, p.Zero, codes));
        _added.Add(_qdq.Dequantize(codes, p.Scale, p.Zero, floats));
        return floats;
    }
}
