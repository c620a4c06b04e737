using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using ModelPack.Kernels.MatMul;

namespace ModelPack.Compiler.Planning;

/// <summary>Conv in one group on a kernel that the own kernels read packed, as <c>ai.modelpack::PackedConv</c>, where activations may be rounded and it is large enough to be faster than ONNX Runtime's on dense weights.</summary>
/// <remarks>
/// Where: milliseconds of six equal convolutions with bias and ReLU one after the other, ONNX Runtime's (1.31.1; all in its blocked layout, which a chain allows) / int8 b32 / fp8, the best of many runs, one thread of an AMD
/// EPYC (family 26 model 2, with AVX512_VNNI and AVX512_BF16) alone, 2026-11-30:
/// <code>
/// channels, places, kernel      64, 56 x 56, 3 x 3     128, 28 x 28, 3 x 3     256, 14 x 14, 3 x 3     512, 7 x 7, 3 x 3     512, 14 x 14, 1 x 1     256, 28 x 28, 1 x 1
///                               6.6 / 6.4 / 7.5        6.6 / 4.5 / 5.4         7.2 / 3.7 / 5.4         8.6 / 5.3 / 7.2       3.0 / 1.8 / 2.5         3.0 / 2.6 / 3.1
/// </code>
/// Within a text recogniser (PP-OCRv4, 3 x 48 x 320), where layouts change anyway and the activation (hard swish) is done inside, one by one: 480 channels 1.5 times as fast, 240 channels 1.1 to 1.3 times, 128 channels 0.7
/// times. Without those instructions nothing is gained but memory: 8-bit products take as long as f32.
/// </remarks>
internal static class PackedConv
{
    /// <summary>The operator, in the domain of <see cref="PackedMatMul"/>.</summary>
    public const string Op = "PackedConv";

    /// <summary>How names of its kernels begin.</summary>
    public const string Kernel = $"modelpack:{Op}(";

    /// <summary>Channels of the output below which rounding the activations costs more than the products gain.</summary>
    private const long LeastOutputs = 128;

    /// <summary>Weights of each of them below which putting outputs in their places costs more.</summary>
    private const long LeastInputs = 224;

    /// <summary>The choice for a node whose input 1 is <paramref name="tensor"/>; null for other nodes and weights.</summary>
    public static NodeChoice? Choose(Node node, Tensor tensor, PlanContext context)
    {
        if (!node.Is("Conv") || context.Options.StockOperators || Matrix(tensor) is not DenseEncoding matrix)
        {
            return null;
        }

        using MatMulWeight? weight = MatMulWeight.TryCreate(matrix);
        if (weight is null || weight.Rounding() == MatMulArithmetic.Float)
        {
            return null;
        }

        string kernel = $"{Kernel}{matrix.Format.Id},{weight.Rounding().Name()})";
        if (WhyNot(node, tensor, matrix, context) is string reason)
        {
            return NodeChoice.Expanded(new RejectedKernel(kernel, reason));
        }

        string dense = string.Create(CultureInfo.InvariantCulture, $"{tensor.DType.StorageBytes(tensor.Shape.ElementCount)} bytes of dense weights instead of {PackedMatrix.Bytes(weight)}, and products of f32");
        return new NodeChoice(kernel, [Build(node, tensor, matrix, weight, context)], [new RejectedKernel(NodeChoice.Expand, dense)]);
    }

    /// <summary>The matrix [O, I * taps] that a kernel [O, I, taps...] is stored as.</summary>
    private static DenseEncoding? Matrix(Tensor tensor) =>
        tensor.Encoding is StructuredEncoding { Structure.Id: "reshaped", Components: [DenseEncoding { Shape.Rank: 2 } matrix] } && tensor.Shape.Rank > 2 && matrix.Shape[0] == tensor.Shape[0] ? matrix : null;

    private static string? WhyNot(Node node, Tensor tensor, DenseEncoding matrix, PlanContext context)
    {
        string pads = AutoPad(node);
        return true switch
        {
            _ when tensor.DType != DType.F32 => $"activations are {tensor.DType.Name()}, the kernel is chosen for f32 only",
            _ when node.Int("group", 1) != 1 => "channels are in groups",
            _ when tensor.Shape.Rank > 4 => "the kernel has three dimensions",
            _ when pads is not ("NOTSET" or "VALID") => $"pads depend on sizes: auto_pad {pads}",
            _ when Axes(node, tensor).Any(a => a.Values.Any(v => v is < 0 or > 1 << 20)) => "pads are negative, or sizes out of range",
            _ when matrix.Shape[0] < LeastOutputs || matrix.Shape[1] < LeastInputs => "not faster where there are few channels",
            _ when context.Options.Accuracy != PlanAccuracy.Fast => "rounds activations, and is no faster where it does not: plan with accuracy 'fast' to use it",
            _ => null,
        };
    }

    private static string AutoPad(Node node) => node.Attribute("auto_pad") is AttributeValue.Text text ? Encoding.UTF8.GetString(text.Value.Span) : "NOTSET";

    /// <summary>Attributes of both directions.</summary>
    private static IEnumerable<(string Suffix, long[] Values)> Axes(Node node, Tensor tensor)
    {
        int axes = tensor.Shape.Rank - 2;
        long[] strides = [.. node.Ints("strides")];
        long[] dilations = [.. node.Ints("dilations")];
        long[] pads = AutoPad(node) == "VALID" ? [] : [.. node.Ints("pads")];
        if (axes == 1)
        {
            yield return ("_h", [1, 1, 1, 0, 0]);
        }

        for (int i = 0; i < axes; i++)
        {
            long At(long[] values, int index, long otherwise) => index < values.Length ? values[index] : otherwise;
            yield return (i + 1 == axes ? "_w" : "_h", [tensor.Shape[i + 2], At(strides, i, 1), At(dilations, i, 1), At(pads, i, 0), At(pads, axes + i, 0)]);
        }
    }

    private static Node Build(Node node, Tensor tensor, DenseEncoding matrix, MatMulWeight weight, PlanContext context)
    {
        string tiles = context.Streams.GetTiles(tensor, PackedMatrix.Bytes(weight));
        string[] names = ["kernel", "stride", "dilation", "pad", "pad_end"];
        ImmutableArray<NodeAttribute> sizes = [.. Axes(node, tensor).SelectMany(a => names.Select((name, i) => new NodeAttribute(name + a.Suffix, new AttributeValue.Int(a.Values[i]))))];
        return new Node
        {
            Name = node.Name,
            OpType = Op,
            Domain = PackedMatMul.Domain,
            Inputs = node.Input(2).Length > 0 ? [node.Inputs[0], tiles, node.Input(2)] : [node.Inputs[0], tiles],
            Outputs = node.Outputs,
            Attributes = [new NodeAttribute("N", new AttributeValue.Int(matrix.Shape[0])), new NodeAttribute("arithmetic", new AttributeValue.Text(weight.Rounding().Name())), .. sizes],
        };
    }
}
