using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Brings a graph of an older operator set to version 13, the first whose DequantizeLinear has a scale per channel, or 19, the first whose QuantizeLinear makes 8-bit floats. Operators whose meaning did not change
/// keep their form; what became an input is written as one.
/// </summary>
internal static class OpsetUpgrade
{
    /// <summary>The latest version that can be reached.</summary>
    public const long Latest = 19;

    /// <summary>Attributes that became inputs: operator, attribute, version, input that it became. Booleans say nothing about the value.</summary>
    private static readonly Dictionary<string, (long Version, string[] Attributes)> Moved = new(StringComparer.Ordinal)
    {
        ["Clip"] = (11, ["min", "max"]),
        ["Slice"] = (10, ["starts", "ends", "axes"]),
        ["Squeeze"] = (13, ["axes"]),
        ["Unsqueeze"] = (13, ["axes"]),
        ["ReduceSum"] = (13, ["axes"]),
        ["Split"] = (13, ["split"]),
        ["ReduceL1"] = (18, ["axes"]),
        ["ReduceL2"] = (18, ["axes"]),
        ["ReduceLogSum"] = (18, ["axes"]),
        ["ReduceLogSumExp"] = (18, ["axes"]),
        ["ReduceMax"] = (18, ["axes"]),
        ["ReduceMean"] = (18, ["axes"]),
        ["ReduceMin"] = (18, ["axes"]),
        ["ReduceProd"] = (18, ["axes"]),
        ["ReduceSumSquare"] = (18, ["axes"]),
    };

    /// <summary>Operators that have been the same since version 7, but for more types and negative axes.</summary>
    private static readonly HashSet<string> Unchanged = new(StringComparer.Ordinal)
    {
        "Abs", "Add", "ArgMax", "ArgMin", "AveragePool", "Cast", "Ceil", "Concat", "Constant", "ConstantOfShape", "Conv", "ConvTranspose", "Div", "Equal", "Erf", "Exp", "Expand", "Flatten", "Floor",
        "Gather", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "Greater", "HardSigmoid", "Identity", "InstanceNormalization", "LeakyRelu", "Less", "Log", "LRN", "MatMul", "Max", "MaxPool", "Mean", "Min", "Mul",
        "Neg", "Not", "Pow", "PRelu", "Reciprocal", "Relu", "Reshape", "Shape", "Shrink", "Sigmoid", "Size", "Softplus", "SpaceToDepth", "Sqrt", "Sub", "Sum", "Tanh", "Tile", "Transpose",
        "Where", "BatchNormalization", "Dropout", "Selu", "Elu", "And", "Or", "Sin", "Cos", "Round", "Sign",
    };

    /// <summary>Operators of version 13 that have been the same from there to <see cref="Latest"/>, but for more types and options that are off.</summary>
    private static readonly HashSet<string> UnchangedSince13 = new(StringComparer.Ordinal)
    {
        "CumSum", "DequantizeLinear", "DynamicQuantizeLinear", "Einsum", "GatherElements", "GatherND", "GreaterOrEqual", "GroupNormalization", "GRU", "HardSwish", "IsInf", "IsNaN", "LayerNormalization", "LessOrEqual",
        "LSTM", "Mod", "OneHot", "QuantizeLinear", "Range", "Resize", "RNN", "ScatterElements", "ScatterND", "Softmax", "LogSoftmax", "TopK", "Trilu", "Xor",
    };

    /// <summary>The model in an operator set or a later one, or null when an operator in it cannot be brought over.</summary>
    /// <param name="model">A canonical model.</param>
    /// <param name="target">The version to reach, at most <see cref="Latest"/>.</param>
    /// <param name="obstacle">The operator that stands in the way.</param>
    public static Model? Apply(Model model, long target, out string obstacle)
    {
        obstacle = "";
        long opset = model.Opsets.GetValueOrDefault("", 1);
        if (opset >= target)
        {
            return model;
        }

        var editor = new GraphEditor(model.Graph);
        var index = new GraphIndex(model.Graph);
        for (int i = 0; i < model.Graph.Nodes.Length; i++)
        {
            Node node = model.Graph.Nodes[i];
            if (node.Domain.Length > 0)
            {
                continue;
            }

            Node? upgraded = opset < 7 || node.Subgraphs().Any() ? null : Upgrade(node, opset, target, index, editor);
            if (upgraded is null)
            {
                obstacle = $"{node.OpType} '{node.Handle}' of operator set {opset}";
                return null;
            }

            if (!ReferenceEquals(upgraded, node))
            {
                editor.ReplaceNode(i, upgraded);
            }
        }

        return model with { Graph = editor.Build(), Opsets = model.Opsets.SetItem("", target), IrVersion = Math.Max(model.IrVersion, IrVersion(target)) };
    }

    /// <summary>Least IR version for an operator set.</summary>
    private static long IrVersion(long target) => target switch
    {
        <= 13 => 7,
        <= 18 => 8,
        _ => 9,
    };

    private static Node? Upgrade(Node node, long opset, long target, GraphIndex index, GraphEditor editor)
    {
        if (Moved.TryGetValue(node.OpType, out (long Version, string[] Attributes) moved))
        {
            Node form = opset >= moved.Version || target < moved.Version ? node : Move(node, moved.Attributes, editor);
            bool needsCount = node.Is("Split") && target >= 18 && opset < 18 && form.Input(1).Length == 0;
            return needsCount ? form with { Attributes = form.Attributes.Add(new NodeAttribute("num_outputs", new AttributeValue.Int(node.Outputs.Length))) } : form;
        }

        return node.OpType switch
        {
            // Softmax over the last axis is the same before 13, where it took all axes from 'axis' on (1 when not given) together.
            "Softmax" or "LogSoftmax" when node.Attribute("axis") is AttributeValue.Int { Value: -1 } || IsLastAxis(node, index) => node,
            "Resize" when opset >= 11 => node,
            "DepthToSpace" => node,
            "BatchNormalization" when opset < 9 && node.Outputs.Length > 1 => null,
            "Dropout" when node.Outputs.Length > 1 => null,
            "Dropout" => new Node { Name = node.Name, OpType = "Identity", Inputs = [node.Inputs[0]], Outputs = node.Outputs },
            _ => Unchanged.Contains(node.OpType) || (opset >= 13 && UnchangedSince13.Contains(node.OpType)) ? node : null,
        };
    }

    /// <summary>True when the rank is known and the axis is the last one.</summary>
    private static bool IsLastAxis(Node node, GraphIndex index)
    {
        int? rank = Ranks.Of(index, node.Inputs[0]) ?? (index.TypeOf(node.Outputs[0]).Dims is { IsDefault: false } dims ? dims.Length : null);
        return node.Int("axis", 1) == rank - 1;
    }

    private static Node Move(Node node, string[] attributes, GraphEditor editor)
    {
        var inputs = new List<string>(node.Inputs);
        foreach (string name in attributes)
        {
            inputs.Add("");
            Tensor? constant = node.Attribute(name) switch
            {
                AttributeValue.Float f => SmallConstants.Floats("", Shape.Scalar, [f.Value]),
                AttributeValue.Ints v => SmallConstants.Integers("", new Shape(v.Values.Length), v.Values.AsSpan()),
                _ => null,
            };
            if (constant is not null)
            {
                inputs[^1] = editor.UniqueName($"{node.Outputs[0]}_{name}");
                editor.AddInitializer(constant with { Name = inputs[^1] });
            }
        }

        while (inputs[^1].Length == 0)
        {
            inputs.RemoveAt(inputs.Count - 1);
        }

        return node with { Inputs = [.. inputs], Attributes = [.. node.Attributes.Where(a => !attributes.Contains(a.Name, StringComparer.Ordinal))] };
    }
}
