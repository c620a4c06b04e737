using System.Collections.Immutable;

namespace ModelPack.Compiler.Shapes;

/// <summary>
/// Shapes of all values of a graph when its inputs have given sizes, from the definitions of the operators (ONNX, <c>com.microsoft</c>, ours; see <see cref="ShapeRules"/>). Elements of small integer tensors are followed too, so that
/// shapes that a graph computes (Shape, Gather, Concat, Reshape) are known. What depends on data, and what loops make, has the shape that the file gives it or none.
/// </summary>
public static class ShapeInference
{
    /// <summary>Larger constants are not followed.</summary>
    internal const int MostElements = 1 << 14;

    /// <summary>What shapes depend on, each once: dimensions of inputs without a size, by their symbols or as <c>input[axis]</c>, and inputs that are one integer, by their names.</summary>
    public static IReadOnlyList<string> FreeSizes(Graph graph) => [.. graph.FreeInputs().SelectMany(FreeSizes).Distinct(StringComparer.Ordinal)];

    /// <summary>Infers shapes.</summary>
    /// <param name="model">A model with a graph.</param>
    /// <param name="sizes">Free sizes by name. Dimensions that are not given are 1, integers 0.</param>
    /// <exception cref="ModelPackException">MP3004: a name that nothing free has, or a negative size.</exception>
    public static GraphShapes Infer(Model model, IReadOnlyDictionary<string, long> sizes)
    {
        IReadOnlyList<string> free = FreeSizes(model.Graph);
        foreach ((string name, long size) in sizes)
        {
            if (size < 0 || !free.Contains(name, StringComparer.Ordinal))
            {
                string has = free.Count == 0 ? "all sizes of its inputs are fixed" : $"its inputs leave open {string.Join(", ", free)}";
                throw new ModelPackException(ErrorCodes.NoFreeSize, size < 0 ? $"'{name}' cannot be {size}" : $"the model has no size '{name}': {has}");
            }
        }

        ValueInfo[] inputs = [.. model.Graph.FreeInputs()];
        var all = free.ToDictionary(n => n, n => sizes.GetValueOrDefault(n, inputs.Any(i => IsInteger(i) && i.Name == n) ? 0 : 1), StringComparer.Ordinal);
        var values = new Dictionary<string, ValueShape>(StringComparer.Ordinal);
        foreach (ValueInfo input in inputs)
        {
            Shape? shape = input.Type.Dims.IsDefault ? null : new Shape([.. input.Type.Dims.Select((d, axis) => d.Value ?? all[Name(input.Name, d, axis)])]);
            values[input.Name] = new ValueShape(input.Type.DType, shape) { Elements = IsInteger(input) ? [all[input.Name]] : default };
        }

        return Infer(model.Graph, model.Opsets.GetValueOrDefault("", 1), all, values);
    }

    private static GraphShapes Infer(Graph graph, long opset, IReadOnlyDictionary<string, long> sizes, Dictionary<string, ValueShape> values)
    {
        var inner = new Dictionary<Graph, GraphShapes>(ReferenceEqualityComparer.Instance);
        var declared = graph.ValueInfos.Concat(graph.Outputs).DistinctBy(v => v.Name, StringComparer.Ordinal).ToDictionary(v => v.Name, v => v.Type, StringComparer.Ordinal);
        foreach (Tensor tensor in graph.Initializers)
        {
            values[tensor.Name] = OfConstant(tensor);
        }

        foreach (SparseTensor tensor in graph.SparseInitializers)
        {
            values[tensor.Values.Name] = new ValueShape(tensor.Values.DType, tensor.Shape);
        }

        GraphShapes Nested(Graph branch) => inner[branch] = Infer(branch, opset, sizes, new Dictionary<string, ValueShape>(values, StringComparer.Ordinal));
        foreach (Node node in graph.Nodes)
        {
            IReadOnlyList<ValueShape> outputs = OfNode(node, opset, name => values.GetValueOrDefault(name, ValueShape.Unknown), Nested);
            for (int i = 0; i < outputs.Count; i++)
            {
                string name = node.Outputs[i];
                if (name.Length > 0)
                {
                    values[name] = declared.TryGetValue(name, out ValueType? type) ? Fill(outputs[i], type, sizes) : outputs[i];
                }
            }
        }

        return new GraphShapes(graph, sizes, values, inner);
    }

    private static IReadOnlyList<ValueShape> OfNode(Node node, long opset, Func<string, ValueShape> find, Func<Graph, GraphShapes> nested)
    {
        var shapes = new NodeShapes(node, opset, find);
        try
        {
            if (node.Is("If"))
            {
                Branch(shapes, nested);
            }
            else if (SmallConstants.FromNode(node) is Tensor constant)
            {
                shapes.Give(0, OfConstant(constant));
            }
            else
            {
                ShapeRules.Find(node)?.Invoke(shapes);
            }

            return shapes.Outputs;
        }
        catch (Exception e) when (e is ArgumentException or IndexOutOfRangeException or OverflowException or InvalidOperationException)
        {
            // Attributes and shapes that contradict each other: such a node does not run with these sizes.
            return [.. node.Outputs.Select(_ => ValueShape.Unknown)];
        }
    }

    /// <summary>The branch that is taken where that is known; else what both branches agree on.</summary>
    private static void Branch(NodeShapes node, Func<Graph, GraphShapes> nested)
    {
        Graph? then = (node.Node.Attribute("then_branch") as AttributeValue.GraphValue)?.Value;
        Graph? otherwise = (node.Node.Attribute("else_branch") as AttributeValue.GraphValue)?.Value;
        bool? taken = node.Input(0).Elements is { IsDefault: false, Length: 1 } known ? known[0] != 0 : null;
        GraphShapes[] branches = [.. new[] { taken != false ? then : null, taken != true ? otherwise : null }.OfType<Graph>().Select(nested)];
        for (int i = 0; i < node.Node.Outputs.Length; i++)
        {
            ValueShape[] ends = [.. branches.Select(b => b[b.Graph.Outputs[i].Name])];
            node.Give(i, ends switch
            {
                [var only] => only,
                [var one, var two] => new ValueShape(one.DType == two.DType ? one.DType : DType.Undefined, one.Shape == two.Shape ? one.Shape : null),
                _ => ValueShape.Unknown,
            });
        }
    }

    /// <summary>What no rule tells, the file may.</summary>
    private static ValueShape Fill(ValueShape found, ValueType declared, IReadOnlyDictionary<string, long> sizes)
    {
        DType dtype = found.DType == DType.Undefined ? declared.DType : found.DType;
        if (found.Shape is not null || declared.Dims.IsDefault)
        {
            return found with { DType = dtype };
        }

        long?[] dims = [.. declared.Dims.Select(d => d.Value ?? (d.Symbol is string symbol && sizes.TryGetValue(symbol, out long size) ? size : (long?)null))];
        return new ValueShape(dtype, dims.All(d => d >= 0) ? new Shape([.. dims.Select(d => d!.Value)]) : null);
    }

    private static ValueShape OfConstant(Tensor tensor) => new(tensor.DType, tensor.Shape)
    {
        Elements = SmallConstants.TryReadNumbers(tensor, MostElements, out ImmutableArray<double> values) ? values : default,
    };

    private static IEnumerable<string> FreeSizes(ValueInfo input) => IsInteger(input)
        ? [input.Name]
        : (input.Type.Dims.IsDefault ? [] : input.Type.Dims).Select((d, axis) => d.Value is null ? Name(input.Name, d, axis) : null).OfType<string>();

    /// <summary>A position, a rate, a count.</summary>
    private static bool IsInteger(ValueInfo input) => input.Type is { DType: DType.I64 or DType.I32, Dims: { IsDefault: false } dims } && dims.All(d => d.Value == 1);

    private static string Name(string input, Dimension dimension, int axis) => dimension.Symbol is { Length: > 0 } symbol ? symbol : string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{input}[{axis}]");
}
