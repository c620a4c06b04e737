using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Finds hard-swish and its relatives written out in elementary operators.</summary>
internal static class HardSwish
{
    /// <summary>
    /// Add(x, a) -> Clip(0, c) -> Mul with x -> Div by c, or Mul with 1/c, becomes HardSigmoid(x) -> Mul with x: two operators instead of four.
    /// </summary>
    /// <param name="graph">The graph.</param>
    /// <param name="opset">Version of the standard operator set: bounds of Clip are attributes before 11.</param>
    public static Graph Rewrite(Graph graph, long opset)
    {
        var index = new GraphIndex(graph);
        var editor = new GraphEditor(graph);
        for (int i = 0; i < graph.Nodes.Length; i++)
        {
            if (graph.Nodes[i].Is("Clip"))
            {
                Rewrite(index, editor, i, opset);
            }
        }

        return editor.HasEdits ? DeadCode.Remove(editor.Build()) : graph;
    }

    private static void Rewrite(GraphIndex index, GraphEditor editor, int position, long opset)
    {
        Node clip = index.Graph.Nodes[position];
        if (Bounds(index, clip, opset) is not (0f, float top) || !(top > 0 && float.IsFinite(top))
            || index.Producer(clip.Inputs[0]) is not { } add || !add.Is("Add") || Only(index, add.Outputs[0]) is null || Offset(index, add) is not (string x, float offset)
            || Only(index, clip.Outputs[0]) is not { } multiply || !multiply.Node.Is("Mul") || multiply.Node.Inputs[1 - multiply.InputIndex] != x
            || Only(index, multiply.Node.Outputs[0]) is not { } divide || !DividesBy(index, divide, top))
        {
            return;
        }

        string gate = editor.UniqueName($"{divide.Node.Outputs[0]}_gate");
        editor.RemoveNode(index.ProducerIndex(clip.Inputs[0]));
        editor.RemoveNode(position);
        editor.RemoveNode(multiply.NodeIndex);
        editor.ReplaceNode(
            divide.NodeIndex,
            new Node
            {
                Name = clip.Name,
                OpType = "HardSigmoid",
                Inputs = [x],
                Outputs = [gate],
                Attributes = [new NodeAttribute("alpha", new AttributeValue.Float((float)(1.0 / top))), new NodeAttribute("beta", new AttributeValue.Float((float)((double)offset / top)))],
            },
            new Node { Name = multiply.Node.Name, OpType = "Mul", Inputs = [x, gate], Outputs = divide.Node.Outputs });
    }

    /// <summary>The one reader of a value that is no output; null otherwise.</summary>
    private static ValueUse? Only(GraphIndex index, string value) =>
        !index.IsOutput(value) && index.Uses(value) is [ValueUse use] && ReferenceEquals(use.Owner, index.Graph) ? use : null;

    private static (float Low, float High)? Bounds(GraphIndex index, Node clip, long opset)
    {
        if (opset < 11)
        {
            return (clip.Float("min", float.MinValue), clip.Float("max", float.MaxValue));
        }

        return FloatConstant.Scalar(index.Constant(clip.Input(1)), 1) is float low && FloatConstant.Scalar(index.Constant(clip.Input(2)), 1) is float high ? (low, high) : null;
    }

    private static (string Value, float Offset)? Offset(GraphIndex index, Node add)
    {
        for (int k = 0; k < 2; k++)
        {
            if (index.Constant(add.Inputs[1 - k]) is { Shape.Rank: 0 } constant && FloatConstant.Scalar(constant, 0) is float offset)
            {
                return (add.Inputs[k], offset);
            }
        }

        return null;
    }

    private static bool DividesBy(GraphIndex index, ValueUse use, float top) =>
        FloatConstant.Scalar(index.Constant(use.Node.Input(1 - use.InputIndex)), 0) is float constant
        && ((use.Node.Is("Div") && use.InputIndex == 0 && constant == top)
            || (use.Node.Is("Mul") && Math.Abs(((double)constant * top) - 1) < 1e-6));
}
