using ModelPack.Compiler;
using ValueType = ModelPack.Compiler.ValueType;

namespace ModelPack.Passes;

/// <summary>Computes nodes on small constants with the context's evaluator, and Shape and Size of any constant without it.</summary>
internal sealed class SmallEvaluation(Model model, PassContext context, long maxOutputBytes, long maxGrowthBytes)
{
    private readonly HashSet<string> _refused = new(StringComparer.Ordinal);

    /// <summary>Folds every node that is ready now; call again for chains. The same graph when there is none.</summary>
    public Graph Round(Graph graph)
    {
        var index = new GraphIndex(graph);
        var editor = new GraphEditor(graph);
        var batch = new List<int>();
        for (int i = 0; i < graph.Nodes.Length; i++)
        {
            Node node = graph.Nodes[i];
            if (node.Domain.Length > 0 || node.Outputs.Any(o => o.Length == 0 || index.IsOutput(o) || _refused.Contains(o)))
            {
                continue;
            }

            if (KnownShape(index, node) is Tensor known)
            {
                Replace(editor, i, [known]);
            }
            else if (context.ConstantEvaluator is not null && IsSmall(index, node))
            {
                batch.Add(i);
            }
        }

        Evaluate(index, editor, batch);
        return editor.Build();
    }

    private static Tensor? KnownShape(GraphIndex index, Node node)
    {
        if (node.OpType is not ("Shape" or "Size") || node.Inputs.Length != 1 || node.Outputs.Length != 1 || CertainShape(index, node.Inputs[0]) is not Shape shape)
        {
            return null;
        }

        if (node.OpType == "Size")
        {
            return SmallConstants.Integers(node.Outputs[0], Shape.Scalar, [shape.ElementCount]);
        }

        long rank = shape.Rank;
        long Clamp(long axis) => Math.Clamp(axis < 0 ? axis + rank : axis, 0, rank);
        int start = (int)Clamp(node.Int("start", 0));
        int end = (int)Clamp(node.Int("end", rank));
        ReadOnlySpan<long> dims = end > start ? shape.Dims.AsSpan()[start..end] : [];
        return SmallConstants.Integers(node.Outputs[0], new Shape(dims.Length), dims);
    }

    /// <summary>Shapes of initializers are facts, and so are fully numeric shapes of graph inputs, which a runtime enforces. Other listed shapes are hints.</summary>
    private static Shape? CertainShape(GraphIndex index, string value)
    {
        if (index.Constant(value) is Tensor tensor)
        {
            return tensor.Shape;
        }

        ValueType type = index.TypeOf(value);
        return index.IsInput(value) && type.IsTensor && !type.Dims.IsDefault && type.Dims.All(d => d.Value is >= 0)
            && new Shape([.. type.Dims.Select(d => d.Value!.Value)]) is var shape && shape.TryElementCount(out _)
            ? shape
            : null;
    }

    private bool IsSmall(GraphIndex index, Node node)
    {
        if (node.Inputs.All(n => n.Length == 0))
        {
            return false;
        }

        long inputBytes = 0;
        foreach (string input in node.Inputs.Where(n => n.Length > 0))
        {
            if (index.Constant(input) is not Tensor tensor || !tensor.TryGetRawData(out TensorData data) || data.LengthBytes > maxOutputBytes)
            {
                return false;
            }

            inputBytes += data.LengthBytes;
        }

        // A first, generous check; the true size is checked afterwards.
        return OutputBounds.Elements(index, node) is long bound && bound <= Math.Min(maxOutputBytes, inputBytes + maxGrowthBytes);
    }

    private void Evaluate(GraphIndex index, GraphEditor editor, List<int> batch)
    {
        if (batch.Count == 0)
        {
            return;
        }

        if (TryEvaluate(index, editor, batch))
        {
            return;
        }

        foreach (int i in batch)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            if (batch.Count == 1 || !TryEvaluate(index, editor, [i]))
            {
                _refused.UnionWith(index.Graph.Nodes[i].Outputs);
            }
        }
    }

    private bool TryEvaluate(GraphIndex index, GraphEditor editor, List<int> positions)
    {
        Node[] nodes = [.. positions.Select(i => index.Graph.Nodes[i])];
        Tensor[] constants = [.. nodes.SelectMany(n => n.Inputs).Where(n => n.Length > 0).Distinct(StringComparer.Ordinal).Select(n => index.Constant(n)!)];
        string[] outputs = [.. nodes.SelectMany(n => n.Outputs)];
        IReadOnlyList<Tensor>? results = context.ConstantEvaluator!.Evaluate(model, nodes, constants, outputs);
        if (results is null)
        {
            return false;
        }

        Dictionary<string, Tensor> byName = results.ToDictionary(t => t.Name, StringComparer.Ordinal);
        for (int i = 0; i < nodes.Length; i++)
        {
            Tensor[] made = [.. nodes[i].Outputs.Select(o => byName[o])];
            long before = nodes[i].Inputs.Where(n => n.Length > 0).Sum(n => Bytes(index.Constant(n)!));
            long after = made.Sum(Bytes);
            if (after <= maxOutputBytes && after <= before + maxGrowthBytes)
            {
                Replace(editor, positions[i], made);
            }
            else
            {
                _refused.UnionWith(nodes[i].Outputs);
            }
        }

        return true;
    }

    private static long Bytes(Tensor tensor) => tensor.TryGetRawData(out TensorData data) ? data.LengthBytes : long.MaxValue / 64;

    private static void Replace(GraphEditor editor, int index, ReadOnlySpan<Tensor> values)
    {
        editor.RemoveNode(index);
        foreach (Tensor value in values)
        {
            editor.AddInitializer(value);
        }
    }
}
