using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Folds Mul, Div, Add and Sub with constants into the Conv whose result they change.</summary>
internal static class ConvChains
{
    /// <summary>The graph with all such chains folded; the same graph when there are none.</summary>
    public static Graph Fold(Graph graph, CancellationToken cancellation)
    {
        var index = new GraphIndex(graph);
        var editor = new GraphEditor(graph);
        for (int i = 0; i < graph.Nodes.Length; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            if (graph.Nodes[i].Is("Conv"))
            {
                Fold(index, editor, i);
            }
        }

        return editor.HasEdits ? DeadCode.Remove(editor.Build()) : graph;
    }

    private static void Fold(GraphIndex index, GraphEditor editor, int position)
    {
        Node conv = index.Graph.Nodes[position];
        if (index.Constant(conv.Input(1)) is not { Shape.Rank: >= 3, DType: DType.F32 } weight || weight.Shape.ElementCount == 0
            || index.Uses(weight.Name).Count != 1 || index.IsOutput(weight.Name) || !weight.TryGetRawData(out TensorData data)
            || Bias(index, conv, weight.Shape[0]) is not double[] bias)
        {
            return;
        }

        double[] scales = new double[weight.Shape[0]];
        Array.Fill(scales, 1);
        string value = conv.Outputs[0];
        var folded = new List<int>();
        while (!index.IsOutput(value) && index.Uses(value) is [ValueUse use] && ReferenceEquals(use.Owner, index.Graph) && Apply(index, use, weight.Shape.Rank, scales, bias))
        {
            folded.Add(use.NodeIndex);
            value = use.Node.Outputs[0];
        }

        if (folded.Count == 0 || !scales.All(s => double.IsFinite(s)) || !bias.All(b => float.IsFinite((float)b)))
        {
            return;
        }

        long run = weight.Shape.ElementCount / weight.Shape[0];
        editor.ReplaceInitializer(weight.Name, Tensor.Raw(weight.Name, DType.F32, weight.Shape, new ScaledTensorData(data, scales, run, scales.Length, 1)) with { Foreign = weight.Foreign });
        string biasName = editor.UniqueName($"{weight.Name}_folded_bias");
        editor.AddInitializer(SmallConstants.Floats(biasName, new Shape(bias.Length), [.. bias.Select(b => (float)b)]));
        editor.ReplaceNode(position, conv with { Inputs = [conv.Inputs[0], conv.Inputs[1], biasName], Outputs = [value] });
        folded.ForEach(editor.RemoveNode);
    }

    private static double[]? Bias(GraphIndex index, Node conv, long channels)
    {
        if (conv.Input(2).Length == 0)
        {
            return new double[channels];
        }

        float[]? given = index.Constant(conv.Input(2)) is { Shape.Rank: 1 } t && t.Shape[0] == channels ? FloatConstant.Read(t) : null;
        return given is null ? null : [.. given.Select(b => (double)b)];
    }

    /// <summary>Applies one element-wise operator to factors and offsets; false when it is none with a constant that fits.</summary>
    private static bool Apply(GraphIndex index, ValueUse use, int rank, double[] scales, double[] bias)
    {
        Node node = use.Node;
        if (node.Domain.Length > 0 || node.OpType is not ("Mul" or "Div" or "Add" or "Sub") || node.Inputs.Length != 2
            || FloatConstant.PerChannel(index.Constant(node.Inputs[1 - use.InputIndex]), scales.Length, rank) is not float[] constant
            || (node.OpType == "Div" && use.InputIndex == 1))
        {
            return false;
        }

        for (int c = 0; c < scales.Length; c++)
        {
            double factor = node.OpType switch
            {
                "Mul" => constant[c],
                "Div" => 1.0 / constant[c],
                "Sub" when use.InputIndex == 1 => -1,
                _ => 1,
            };
            double offset = node.OpType switch
            {
                "Add" => constant[c],
                "Sub" => use.InputIndex == 1 ? constant[c] : -(double)constant[c],
                _ => 0,
            };
            scales[c] *= factor;
            bias[c] = (bias[c] * factor) + offset;
        }

        return true;
    }
}
