using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>
/// Adds to a float model what its outputs would be if a value in it were another: copies of all nodes behind the value, and the differences of the outputs. Several such changes may stand beside each other in one model, which is
/// how one run over the calibration data measures all of them.
/// </summary>
/// <param name="model">The float model.</param>
/// <param name="editor">Its graph; gives names.</param>
/// <param name="added">Takes the nodes, in order.</param>
internal sealed class OutputDifferences(Model model, GraphEditor editor, List<Node> added)
{
    private readonly string[] _outputs = [.. model.Graph.Outputs.Where(o => o.Type.DType == DType.F32).Select(o => o.Name)];

    /// <summary>The outputs that are compared, those of f32; empty when there are none.</summary>
    public IReadOnlyList<CalibrationTap> Signals => [.. _outputs.Select(Tap)];

    /// <summary>The differences that a change makes to the outputs, in the order of <see cref="Signals"/> without those that do not depend on it.</summary>
    /// <param name="value">The value.</param>
    /// <param name="replacement">What is read in its place.</param>
    /// <returns>Taps by output; null when a node with subgraphs lies behind the value, which cannot be copied.</returns>
    public IReadOnlyDictionary<string, CalibrationTap>? Of(string value, string replacement)
    {
        var names = new Dictionary<string, string>(StringComparer.Ordinal) { [value] = replacement };
        var copies = new List<Node>();
        foreach (Node node in model.Graph.Nodes)
        {
            if (node.Subgraphs().SelectMany(GraphNames.Free).Any(names.ContainsKey))
            {
                return null;
            }

            if (!node.Inputs.Any(names.ContainsKey) || node.Outputs.Contains(value))
            {
                continue;
            }

            foreach (string output in node.Outputs.Where(o => o.Length > 0))
            {
                names.Add(output, editor.UniqueName($"{output}_changed"));
            }

            copies.Add(node with { Name = "", Inputs = [.. node.Inputs.Select(i => names.GetValueOrDefault(i, i))], Outputs = [.. node.Outputs.Select(o => names.GetValueOrDefault(o, o))] });
        }

        added.AddRange(copies);
        return _outputs.Where(names.ContainsKey).ToDictionary(o => o, o => Difference(o, names[o]), StringComparer.Ordinal);
    }

    /// <summary>The differences of a whole graph with the same inputs and outputs, which is added beside the model.</summary>
    /// <param name="other">The graph; its constants may have the names of the model's with other values.</param>
    public IReadOnlyDictionary<string, CalibrationTap> Of(Graph other)
    {
        var names = new Dictionary<string, string>(StringComparer.Ordinal);
        HashSet<string> inputs = [.. other.Inputs.Select(i => i.Name)];
        foreach (Tensor tensor in other.Initializers.Where(t => !inputs.Contains(t.Name)))
        {
            names.Add(tensor.Name, editor.UniqueName($"{tensor.Name}_changed"));
            editor.AddInitializer(tensor with { Name = names[tensor.Name], Foreign = default });
        }

        foreach (Node node in other.Nodes)
        {
            foreach (string output in node.Outputs.Where(o => o.Length > 0))
            {
                names.Add(output, editor.UniqueName($"{output}_changed"));
            }

            added.Add(node with { Name = "", Inputs = [.. node.Inputs.Select(i => names.GetValueOrDefault(i, i))], Outputs = [.. node.Outputs.Select(o => names.GetValueOrDefault(o, o))] });
        }

        return _outputs.Where(names.ContainsKey).ToDictionary(o => o, o => Difference(o, names[o]), StringComparer.Ordinal);
    }

    /// <summary>Noise of all outputs together: the squared difference of each per square of the output, added up.</summary>
    public static double Noise(IReadOnlyDictionary<string, CalibrationTap> differences, ICalibrationStatistics statistics) =>
        differences.Sum(d => statistics[d.Key].Squares[0] is > 0 and double signal ? statistics[d.Value.Value].Squares[0] / signal : 0);

    private CalibrationTap Difference(string output, string changed)
    {
        string name = editor.UniqueName($"{output}_difference");
        added.Add(new Node { OpType = "Sub", Inputs = [output, changed], Outputs = [name] });
        return Tap(name);
    }

    private static CalibrationTap Tap(string value) => new(value, 1, SecondMoments: false);
}
