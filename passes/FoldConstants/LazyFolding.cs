using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Folds nodes that only rearrange or exactly widen a constant into its encoding. No data is read.</summary>
internal static class LazyFolding
{
    /// <summary>Constants up to this size may be stored once more for a second reader.</summary>
    private const long SmallBytes = 64 << 10;

    /// <summary>Folds the first node after each constant; call again for chains. The same graph when there is nothing to fold.</summary>
    public static Graph Round(Graph graph)
    {
        var index = new GraphIndex(graph);
        var editor = new GraphEditor(graph);
        foreach (Tensor tensor in graph.Initializers)
        {
            if (index.Constant(tensor.Name) is not null && !index.IsOutput(tensor.Name))
            {
                Fold(index, editor, tensor);
            }
        }

        return editor.Build();
    }

    private static void Fold(GraphIndex index, GraphEditor editor, Tensor tensor)
    {
        IReadOnlyList<ValueUse> uses = index.Uses(tensor.Name);
        Tensor?[] results = [.. uses.Select(u => Result(index, u, tensor))];
        bool allSame = results.All(r => r is not null && Same(r, results[0]!));
        bool small = tensor.DType.TryStorageBytes(tensor.Shape.ElementCount, out long bytes) && bytes <= SmallBytes;
        if (results.Length == 0 || (!allSame && !small))
        {
            return;
        }

        if (allSame)
        {
            editor.ReplaceInitializer(tensor.Name, results[0]!);
        }

        for (int i = 0; i < results.Length; i++)
        {
            if (results[i] is not Tensor result || editor.IsReplaced(uses[i].NodeIndex))
            {
                continue;
            }

            string name = tensor.Name;
            if (!allSame)
            {
                name = editor.UniqueName($"{tensor.Name}_{uses[i].Node.OpType}");
                editor.AddInitializer(result with { Name = name });
            }

            editor.RemoveNode(uses[i].NodeIndex);
            editor.RedirectUses(uses[i].Node.Outputs[0], name);
        }
    }

    private static bool Same(Tensor a, Tensor b) => a.DType == b.DType && a.Shape == b.Shape && a.Encoding.Describe() == b.Encoding.Describe();

    /// <summary>What the node makes of the constant, or null when it is not of the lazy kind.</summary>
    private static Tensor? Result(GraphIndex index, ValueUse use, Tensor tensor)
    {
        Node node = use.Node;
        bool eligible = ReferenceEquals(use.Owner, index.Graph) && use.InputIndex == 0 && node.Domain.Length == 0 && node.Outputs.Length == 1
            && !index.IsOutput(node.Outputs[0]) && Structured.IsRaw(tensor.Encoding, out _);
        return !eligible ? null : node.OpType switch
        {
            "Cast" => Cast(node, tensor),
            "Transpose" => Transpose(node, tensor),
            "Reshape" or "Squeeze" or "Unsqueeze" or "Flatten" => Reshape(index, node, tensor),
            _ => null,
        };
    }

    /// <summary>Every value of these types is a value of F32.</summary>
    private static Tensor? Cast(Node node, Tensor tensor)
    {
        bool widens = tensor.DType is DType.BF16 or DType.F16 or DType.F8E4M3FN or DType.F8E4M3FNUZ or DType.F8E5M2 or DType.F8E5M2FNUZ;
        DType target = OnnxTypes.FromNumber(node.Int("to", 0));
        return target == tensor.DType ? tensor : widens && target == DType.F32 ? tensor with { DType = DType.F32 } : null;
    }

    /// <summary>Only types whose values the value reader gives exactly as f32.</summary>
    private static Tensor? Transpose(Node node, Tensor tensor)
    {
        bool exact = tensor.DType.IsFloat() && tensor.DType != DType.F64;
        int rank = tensor.Shape.Rank;
        ImmutableArray<int> perm = node.Ints("perm") is { Length: > 0 } given ? [.. given.Select(a => (int)a)] : [.. Enumerable.Range(0, rank).Reverse()];
        if (!exact || perm.Length != rank || !perm.Order().SequenceEqual(Enumerable.Range(0, rank)))
        {
            return null;
        }

        WeightEncoding encoding = Structured.Permute(tensor.Encoding, perm);
        return tensor with { Shape = encoding.Shape, Encoding = encoding };
    }

    private static Tensor? Reshape(GraphIndex index, Node node, Tensor tensor)
    {
        if (tensor.Encoding is not DenseEncoding || StaticShapes.Reshaped(index, node, tensor.Shape) is not Shape shape)
        {
            return null;
        }

        return tensor with { Shape = shape, Encoding = Structured.Reshape(tensor.Encoding, shape) };
    }
}
