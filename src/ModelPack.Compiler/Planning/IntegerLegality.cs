using System.Globalization;

namespace ModelPack.Compiler.Planning;

/// <summary>
/// What keeps a model from running on a processor that has 8-bit integers only (phone NPUs, microcontrollers): sizes that are not fixed, floats between nodes, and operators without an integer form. The operators are
/// those of the 8-bit specification of LiteRT (TensorFlow Lite), which the compilers for such processors follow, under their ONNX names.
/// </summary>
public static class IntegerLegality
{
    /// <summary>Operators with an integer form.</summary>
    private static readonly HashSet<string> Operators = new(StringComparer.Ordinal)
    {
        "Abs", "Add", "AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "DepthToSpace", "Elu", "Expand", "Flatten", "Gather", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "HardSwish", "Identity",
        "LeakyRelu", "LogSoftmax", "LpNormalization", "MatMul", "Max", "MaxPool", "Min", "Mul", "Neg", "PRelu", "Pad", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "Relu", "Reshape", "Resize", "Sigmoid", "Slice",
        "Softmax", "SpaceToDepth", "Split", "Squeeze", "Sub", "Tanh", "Tile", "Transpose", "Unsqueeze", "Upsample",
    };

    /// <summary>Operators that the node before them does as part of its rounding.</summary>
    private static readonly HashSet<string> Fused = new(StringComparer.Ordinal) { "Relu", "Clip" };

    /// <summary>All that is in the way, inputs and outputs first, then nodes in graph order. Empty: every node runs on integers.</summary>
    public static IReadOnlyList<IntegerObstacle> Find(Model model)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (model.Kind != ModelKind.Onnx)
        {
            return [new IntegerObstacle("", "", "a checkpoint has no graph")];
        }

        var found = new List<IntegerObstacle>();
        var index = new GraphIndex(model.Graph);
        foreach (ValueInfo input in model.Graph.FreeInputs())
        {
            AddInterface(found, "input", input);
        }

        foreach (ValueInfo output in model.Graph.Outputs)
        {
            AddInterface(found, "output", output);
        }

        var floats = model.Graph.Inputs.Where(i => i.Type.DType.IsFloat()).Select(i => i.Name).ToHashSet(StringComparer.Ordinal);
        foreach (Node node in model.Graph.Nodes)
        {
            bool makesFloats = node.Is("DequantizeLinear") || (node.Is("Cast") ? node.Int("to", 0) is 1 or 10 or 11 or 16 : node.Inputs.Any(floats.Contains) && !node.Is("QuantizeLinear"));
            if (makesFloats)
            {
                floats.UnionWith(node.Outputs.Where(o => o.Length > 0));
            }

            if (Reason(index, node, makesFloats) is string reason)
            {
                found.Add(new IntegerObstacle(node.Handle, node.OpType, reason));
            }
        }

        return found;
    }

    private static void AddInterface(List<IntegerObstacle> found, string kind, ValueInfo value)
    {
        string name = $"{kind} '{value.Name}'";
        if (!value.Type.IsTensor)
        {
            found.Add(new IntegerObstacle(name, kind, "is no tensor of a known type"));
            return;
        }

        int axis = value.Type.Dims.IsDefault ? 0 : value.Type.Dims.ToList().FindIndex(d => d.Value is null);
        if (value.Type.Dims.IsDefault || axis >= 0)
        {
            string symbol = value.Type.Dims.IsDefault ? "" : value.Type.Dims[axis].Symbol is string s ? $" ('{s}')" : "";
            string how = kind == "input" ? string.Create(CultureInfo.InvariantCulture, $" (--set static-shapes.shapes={value.Name}=1x3x224x224, with its own sizes)") : "";
            found.Add(new IntegerObstacle(name, kind, string.Create(CultureInfo.InvariantCulture, $"axis {axis}{symbol} has no fixed size{how}")));
        }

        if (value.Type.DType.IsFloat())
        {
            found.Add(new IntegerObstacle(name, kind, $"is {value.Type.DType.Name()} (option quantize-activations.io)"));
        }
    }

    private static string? Reason(GraphIndex index, Node node, bool makesFloats)
    {
        if (node.Is("QuantizeLinear") || node.Is("DequantizeLinear"))
        {
            return null;
        }

        if (node.Subgraphs().Any())
        {
            return "control flow";
        }

        if (node.Domain.Length > 0 || !Operators.Contains(node.OpType))
        {
            return makesFloats || node.Domain.Length > 0 ? "no integer form" : "computes at run time with values that are no codes";
        }

        if (!makesFloats)
        {
            return index.Constant(node.Input(0)) is null && node.Inputs.Any(i => i.Length > 0) ? null : "computes at run time with values that are no codes";
        }

        bool Codes(string input, int position)
        {
            if (input.Length == 0 || index.Constant(input) is not null || index.Producer(input) is not Node maker)
            {
                return input.Length == 0 || index.Constant(input) is not null;
            }

            // A bound that the node before it applies as it rounds.
            bool joined = position == 0 && Fused.Contains(node.OpType) && index.Uses(input).Count == 1 && maker is { Domain: "", OpType: "Conv" or "Gemm" or "MatMul" or "Add" or "Mul" or "ConvTranspose" };
            return joined || maker.Is("DequantizeLinear");
        }

        string? floating = node.Inputs.Where((input, i) => !Codes(input, i)).FirstOrDefault();
        if (floating is not null)
        {
            return $"reads '{floating}', which is float";
        }

        foreach (string output in node.Outputs.Where(o => o.Length > 0))
        {
            bool quantised = !index.IsOutput(output) && index.Uses(output).All(u => u.Node.Is("QuantizeLinear") || (Fused.Contains(u.Node.OpType) && index.Uses(output).Count == 1));
            if (!quantised)
            {
                return "its result stays float";
            }
        }

        return null;
    }
}

/// <summary>One thing that keeps a model from running on integers alone.</summary>
/// <param name="Node">Handle of the node, or <c>input 'x'</c>.</param>
/// <param name="Op">Its operator.</param>
/// <param name="Reason">What is in the way.</param>
public sealed record IntegerObstacle(string Node, string Op, string Reason)
{
    /// <summary>True for an input or output of the graph.</summary>
    public bool IsInterface => Op is "input" or "output";

    /// <summary>What is meant, for a message.</summary>
    public string Subject => IsInterface ? Node : $"{Op} '{Node}'";
}
