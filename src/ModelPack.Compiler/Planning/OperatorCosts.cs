using ModelPack.Compiler.Shapes;

namespace ModelPack.Compiler.Planning;

/// <summary>
/// Predicts operators that are not a product with a packed weight, from the shapes of their values (GenZ, arXiv 2406.01698): the larger of their arithmetic over what the machine computes and the bytes that they read and
/// write over the bandwidth of the level of memory that holds as many; of convolutions the sum. Convolutions and products with a dense weight compute as fast as ONNX Runtime's dense product where the profile measured it,
/// convolutions on packed kernels as the packed product.
/// </summary>
public static class OperatorCosts
{
    /// <summary>What operators reach of the machine's peak arithmetic where no product was measured.</summary>
    private const double Efficiency = 0.8;

    /// <summary>What convolutions with one channel to a group, and products of activations, reach of it: they multiply each value few times.</summary>
    private const double FewUses = 0.4;

    /// <summary>What operators that only read and write reach of the bandwidth of one core, on any number of threads (97 of 97 GB/s from the last cache on an AMD EPYC, family 26 model 2).</summary>
    private const double Streaming = 0.9;

    /// <summary>What convolutions reach of the bandwidth of one core, on any number of threads, with what they read and write besides computing (40 of 103 GB/s from the last cache there).</summary>
    private const double Passing = 0.4;

    /// <summary>What packed convolutions reach of the bandwidth while they round and place what they read and write (5.4 of 97 GB/s, two threads 9.4 of 182).</summary>
    private const double Placing = 0.055;

    /// <summary>Operations of exponentials and the like, by polynomials.</summary>
    private const double Elementary = 24;

    private static readonly HashSet<string> Views = ["Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Shape", "Size", "Constant", "ConstantOfShape", "If", "Loop", "Scan"];

    /// <summary>Operators with constants, and activations, that ONNX Runtime makes part of the convolution or product before them.</summary>
    private static readonly HashSet<string> Joined = ["BatchNormalization", "Add", "Sub", "Mul", "Div", "Relu", "LeakyRelu", "Clip", "HardSigmoid", "Sigmoid", "Tanh"];

    private static readonly HashSet<string> Smooth =
    [
        "Softmax", "LogSoftmax", "Exp", "Log", "Sqrt", "Pow", "Erf", "Sigmoid", "Tanh", "Gelu", "FastGelu", "QuickGelu", "BiasGelu", "Silu", "Swish", "Mish", "Softplus", "Sin", "Cos", "LayerNormalization", "SimplifiedLayerNormalization",
        "SkipSimplifiedLayerNormalization", "SkipLayerNormalization", "RMSNormalization", "InstanceNormalization", "GroupNormalization",
    ];

    /// <summary>True for products with packed weights, which <see cref="CostModel"/> predicts by what is planned, however many nodes they became.</summary>
    public static bool IsProduct(Node node) => (node.Domain == PackedMatMul.Domain && node.OpType is not (PackedConv.Op or "PackedGather")) || node.OpType == "MatMulNBits";

    /// <summary>Names of the nodes that cost nothing of their own: constants added to or multiplied with the result of a convolution, and activations directly behind it.</summary>
    public static IReadOnlySet<string> JoinedNodes(Graph graph)
    {
        var joined = new HashSet<string>(StringComparer.Ordinal);
        var open = new HashSet<string>(StringComparer.Ordinal);
        HashSet<string> constants = [.. graph.Initializers.Select(i => i.Name), .. graph.Nodes.Where(n => n.OpType == "Constant").SelectMany(n => n.Outputs)];
        Dictionary<string, int> uses = graph.Nodes.SelectMany(n => n.Inputs).Concat(graph.Outputs.Select(o => o.Name)).GroupBy(v => v, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.Count(), StringComparer.Ordinal);
        foreach (Node node in graph.Nodes)
        {
            string[] values = [.. node.Inputs.Where(v => v.Length > 0 && !constants.Contains(v))];
            bool joins = Joined.Contains(node.OpType) && values.Length == 1 && open.Contains(values[0]) && uses.GetValueOrDefault(values[0]) == 1;
            if (joins || node.OpType is "Conv" or PackedConv.Op)
            {
                open.UnionWith(node.Outputs);
            }

            if (joins && node.Name.Length > 0)
            {
                joined.Add(node.Name);
            }
        }

        return joined;
    }

    /// <summary>Predicts one node.</summary>
    /// <param name="profile">The machine.</param>
    /// <param name="node">A node of the execution graph.</param>
    /// <param name="shapes">Shapes of its values.</param>
    /// <param name="threads">1, or all cores.</param>
    /// <param name="kernel">As plans name it, where the node is planned.</param>
    /// <returns>Null where shapes are not known; nodes of graphs inside the node are not counted.</returns>
    public static NodeCost? Of(HardwareProfile profile, Node node, GraphShapes shapes, int threads, string kernel = NodeChoice.Expand)
    {
        double launch = profile.LaunchMicroseconds * 1e-6;
        if (Views.Contains(node.OpType))
        {
            return new NodeCost(launch, "launch", 0, 0, false);
        }

        if (Bytes(node.Inputs, shapes) is not long read || Bytes(node.Outputs, shapes) is not long written || Shape(node.Outputs, 0, shapes) is not Shape result)
        {
            return null;
        }

        bool all = threads != 1;
        bool packed = kernel.StartsWith(PackedConv.Kernel, StringComparison.Ordinal);
        double multiplications = Multiplications(node, shapes, result, out bool fewUses);
        double flops = multiplications > 0 ? 2 * multiplications : result.ElementCount * (Smooth.Contains(node.OpType) ? Elementary : 1);
        double peak = profile.Gflops["f32"] * 1e9 / (all ? 1 : profile.Cores);
        if (node.OpType is "Conv" or "FusedConv" or PackedConv.Op && Convolution(profile, packed ? kernel : null, fewUses, multiplications, read + written, all) is double seconds)
        {
            return new NodeCost(launch + seconds, launch > seconds ? "launch" : "compute", read + written, flops, true);
        }

        double measured = multiplications > 0 && !fewUses ? CostModel.SecondsPerMultiplication(profile, packed ? Product(kernel) : NodeChoice.Expand, all) : 0;
        double compute = measured > 0 ? multiplications * measured : flops / (peak * (fewUses ? FewUses : Efficiency));
        bool both = packed || (measured > 0 && node.OpType is ("Conv" or "FusedConv"));
        double memory = (read + written) / (Gbps(profile, read + written, all && packed) * 1e9 * (packed ? Placing : both ? Passing : Streaming));
        double time = both ? compute + memory : Math.Max(compute, memory);
        return new NodeCost(launch + time, launch > time ? "launch" : memory > compute ? "memory" : "compute", read + written, flops, measured > 0);
    }

    /// <summary>The activation that a packed product applies to its outputs; null for none.</summary>
    public static string? FusedActivation(Node node) => PackedMatMul.Is(node) ? node.Attribute("activation")?.ToString() : null;

    /// <summary>Seconds of an activation that a product applies to its outputs, which lie near.</summary>
    /// <param name="profile">The machine.</param>
    /// <param name="activation">As the operator's attribute names it.</param>
    /// <param name="values">Outputs.</param>
    /// <param name="threads">1, or all cores.</param>
    public static double ActivationSeconds(HardwareProfile profile, string activation, long values, int threads)
    {
        double peak = profile.Gflops["f32"] * 1e9 / (threads == 1 ? profile.Cores : 1);
        return values * (activation is "relu" or "hardswish" ? 1 : Elementary) / (peak * Efficiency);
    }

    /// <summary>Seconds of a convolution by what the profile measured of them; null where it did not. What it reads lies farther away than in a row of convolutions, which were measured: at least as long as moving it takes.</summary>
    private static double? Convolution(HardwareProfile profile, string? packed, bool fewUses, double multiplications, long bytes, bool all)
    {
        string kind = packed is not null ? ConvolutionConstant.Packed : fewUses ? ConvolutionConstant.Depthwise : ConvolutionConstant.Dense;
        if (profile.Convolutions.FirstOrDefault(c => c.Kernel == kind) is not ConvolutionConstant constant)
        {
            return null;
        }

        double Of(ThreadTimes times) => all ? times.All : times.One;
        double moving = packed is null ? bytes / (Gbps(profile, bytes, all: false) * 1e9 * Passing) : 0;
        double product = packed is null ? 0 : CostModel.SecondsPerMultiplication(profile, Product(packed), all);
        return (multiplications * (product > 0 ? product : Of(constant.PerMultiplication) * 1e-9)) + Math.Max(moving, bytes / sizeof(float) * Of(constant.PerValue) * 1e-9);
    }

    /// <summary>The product that a packed convolution is made of.</summary>
    private static string Product(string convolution) => $"modelpack:PackedMatMul({convolution[PackedConv.Kernel.Length..]}";

    /// <summary>Multiplications of convolutions, products and recurrent layers; 0 for other operators.</summary>
    private static double Multiplications(Node node, GraphShapes shapes, Shape result, out bool fewUses)
    {
        fewUses = false;
        Shape? x = Shape(node.Inputs, 0, shapes);
        Shape? w = Shape(node.Inputs, 1, shapes);
        switch (node.OpType)
        {
            case "Conv" or "FusedConv" or "ConvInteger" or "QLinearConv" when w is { Rank: > 2 } kernel:
                fewUses = kernel[1] == 1;
                return (double)result.ElementCount * (kernel.ElementCount / Math.Max(1, kernel[0]));
            case "ConvTranspose" when w is { Rank: > 2 } kernel && x is Shape from:
                fewUses = kernel[1] == 1;
                return (double)from.ElementCount * (kernel.ElementCount / Math.Max(1, kernel[0]));
            case PackedConv.Op when x is { Rank: > 2 } from:
                return (double)result.ElementCount * from[1] * node.Int("kernel_h", 1) * node.Int("kernel_w", 1);
            case "MatMul" or "FusedMatMul" or "Gemm" or "MatMulInteger" when x is { Rank: > 0 } from:
                fewUses = w is not { Rank: 2 };
                bool transposed = node.Int("transA", 0) != 0;
                return (double)result.ElementCount * (transposed && from.Rank > 1 ? from[-2] : from[-1]);
            case "LSTM" or "GRU" or "RNN" when x is { Rank: 3 } from && w is { Rank: 3 } gates:
                fewUses = true;
                return (double)from[0] * from[1] * gates[0] * gates[1] * (gates[2] + node.Int("hidden_size", gates[2]));
            default:
                return 0;
        }
    }

    private static Shape? Shape(IReadOnlyList<string> values, int index, GraphShapes shapes) => index < values.Count ? shapes[values[index]].Shape : null;

    private static long? Bytes(IReadOnlyList<string> values, GraphShapes shapes)
    {
        long sum = 0;
        foreach (string value in values)
        {
            if (value.Length > 0)
            {
                if (shapes[value].Bytes is not long bytes)
                {
                    return null;
                }

                sum += bytes;
            }
        }

        return sum;
    }

    /// <summary>Of the nearest level that holds the bytes.</summary>
    private static double Gbps(HardwareProfile profile, long bytes, bool all)
    {
        MemoryLevel level = profile.Memory.FirstOrDefault(m => m.Bytes >= bytes && m.GbpsAll > 0) ?? profile.Memory[^1];
        return all || level.GbpsOne <= 0 ? level.GbpsAll : level.GbpsOne;
    }
}
