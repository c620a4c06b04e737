using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Structures;

namespace ModelPack.Compiler.Planning;

/// <summary>
/// Conv on a kernel that is stored as factors, as three convolutions where that is fewer multiplications; expanded otherwise.
/// </summary>
/// <remarks>
/// <code>
/// tucker2  Conv(x, W, b)  ->  u = Conv(x, A [P, I, 1, 1]);  v = Conv(u, C [Q, P, kH, kW]) with what W was convolved with;  y = Conv(v, B [O, Q, 1, 1], b)
/// cp       the same with S [P, 1, kH, kW] in P groups
/// </code>
/// </remarks>
public static class FactoredConvolution
{
    /// <summary>How the names of its kernels begin in plans.</summary>
    public const string Name = "ort:FactoredConv";

    /// <summary>Three convolutions must save more than this share of the multiplications: two values more go through memory.</summary>
    private const double MostMultiplications = 0.8;

    /// <summary>The choice for a node whose input 1 is <paramref name="tensor"/>; null for other weights and operators.</summary>
    internal static NodeChoice? Choose(Node node, Tensor tensor, PlanContext context)
    {
        if (!node.Is("Conv") || Factors(tensor.Encoding) is not StructuredEncoding factors)
        {
            return null;
        }

        ConvolutionSizes sizes = ConvolutionFactors.Of(factors);
        bool cp = factors.Structure.Id == ConvolutionFactors.CpId;
        string kernel = string.Create(CultureInfo.InvariantCulture, $"{Name}({sizes.Inner},{sizes.Outer})");
        string? reason = tensor.DType != DType.F32 ? $"values are {tensor.DType.Name()}" : node.Int("group", 1) != 1 ? "channels are in groups" : null;
        if (reason is not null)
        {
            return NodeChoice.Expanded(new RejectedKernel(kernel, reason));
        }

        // Per position of the output; the first convolution sees as many positions of the input as the strides say.
        double positions = node.Ints("strides").Aggregate(1.0, (product, s) => product * s);
        double multiplications = ((double)sizes.Inner * sizes.Inputs * positions) + ((double)sizes.Inner * (cp ? 1 : sizes.Outer) * sizes.Kernel) + ((double)sizes.Outer * sizes.Outputs);
        double share = multiplications / ((double)sizes.Outputs * sizes.Inputs * sizes.Kernel);
        string predicted = string.Create(CultureInfo.InvariantCulture, $"{share:0.000} of the multiplications of the kernel as a whole");
        if (share > MostMultiplications)
        {
            return NodeChoice.Expanded(new RejectedKernel(kernel, predicted));
        }

        return new NodeChoice(kernel, Nodes(node, tensor, factors, sizes, cp, context), [new RejectedKernel(NodeChoice.Expand, $"as three convolutions it takes {predicted}")]);
    }

    /// <summary>The factors of a reshaped kernel.</summary>
    private static StructuredEncoding? Factors(WeightEncoding encoding) =>
        encoding is StructuredEncoding { Structure.Id: "reshaped", Components: [StructuredEncoding { Structure.Id: ConvolutionFactors.TuckerId or ConvolutionFactors.CpId } inner] } ? inner : null;

    private static ImmutableArray<Node> Nodes(Node node, Tensor tensor, StructuredEncoding factors, ConvolutionSizes sizes, bool cp, PlanContext context)
    {
        var nodes = ImmutableArray.CreateBuilder<Node>();
        long[] ones = [.. Enumerable.Repeat(1L, tensor.Shape.Rank - 2)];
        string Fresh(string what) => GraphValueNames.Fresh(context.Names, $"{node.Outputs[0]}_{what}");
        string Weight(int component, long[] shape)
        {
            WeightEncoding part = factors.Components[component];
            string dense = context.Streams.GetDense(new Tensor { Name = InitializerBinding.ComponentName(tensor.Name, component), DType = DType.F32, Shape = part.Shape, Encoding = part });
            string sizesName = GraphValueNames.Fresh(context.Names, $"{tensor.Name}_shape_{component}");
            context.Constants.Add(SmallConstants.Integers(sizesName, new Shape(shape.Length), shape));
            string reshaped = Fresh("kernel");
            nodes.Add(new Node { OpType = "Reshape", Inputs = [dense, sizesName], Outputs = [reshaped] });
            return reshaped;
        }

        string first = Weight(2, [sizes.Inner, sizes.Inputs, .. ones]);
        string between = Weight(1, [sizes.Outer, cp ? 1 : sizes.Inner, .. tensor.Shape.Dims.Skip(2)]);
        string last = Weight(0, [sizes.Outputs, sizes.Outer, .. ones]);
        (string inner, string outer) = (Fresh("inner"), Fresh("outer"));
        ImmutableArray<NodeAttribute> attributes = [.. node.Attributes.Where(a => a.Name != "group"), new NodeAttribute("group", new AttributeValue.Int(cp ? sizes.Inner : 1))];
        nodes.Add(new Node { OpType = "Conv", Inputs = [node.Inputs[0], first], Outputs = [inner] });
        nodes.Add(new Node { OpType = "Conv", Inputs = [inner, between], Outputs = [outer], Attributes = attributes });
        nodes.Add(new Node { Name = node.Name, OpType = "Conv", Inputs = node.Input(2).Length > 0 ? [outer, last, node.Input(2)] : [outer, last], Outputs = node.Outputs });
        return nodes.ToImmutable();
    }
}
