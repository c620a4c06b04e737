using System.Collections.Immutable;
using System.Globalization;

namespace ModelPack.Compiler.Planning;

/// <summary>
/// MatMul and Gemm on a block-integer weight as ONNX Runtime's <c>com.microsoft.MatMulNBits</c>, which reads the stored codes.
/// </summary>
/// <remarks>
/// <para>Why what is chosen: ONNX Runtime 1.31.1, one thread of an AMD EPYC (family 26 model 2) with AVX-512, 2026-11-25, best of many runs, milliseconds at M = 1 / M = 256
/// (<c>modelpack bench kernels --rows --columns --batch</c> makes such a table), and error of the product relative to f64 on the decoded weights (N(0,1) activations):</para>
/// <code>
///                         K=768 N=256     K=1024 N=1024    K=4096 N=4096   error
/// dense f32               0.015 / 0.54    0.117 / 3.8      3.7 / 137       3e-7
/// int4 b32  level 0       0.016 / 0.54    0.067 / 3.9      1.6 / 60        5e-7
/// int4 b128 level 0       0.011 / 0.54    0.052 / 3.5      1.0 / 60        5e-7
/// int4 b32  level 4       0.007 / 0.62    0.031 / 3.0      0.67 / 44       5.3e-3
/// int4 b128 level 4       0.007 / 0.41    0.026 / 2.2      0.50 / 30       6.3e-3
/// int8 b128 level 0       0.195 / 0.82    1.42  / 5.9      306 / 392       2e-7
/// int8 b128 level 4       0.010 / 0.48    0.045 / 2.2      1.0 / 34        6.6e-3
/// </code>
/// <para>Level 1 takes the same path as level 0. So exact int4 uses level 0: about as fast as dense on small weights, faster on large ones, at a seventh of the memory. (An older
/// AMD EPYC, family 25 model 17, took up to 1.5 times as long as dense on small weights at one row.) Exact int8 expands: level 0 has no fast kernel for 8 bits. Level 4 rounds
/// activations to int8 per block and is left to <see cref="PlanAccuracy.Fast"/>.</para>
/// </remarks>
internal static class MatMulNBits
{
    private const string Domain = "com.microsoft";

    /// <summary>The choice for a node whose input 1 is <paramref name="tensor"/>; null when the node is neither MatMul nor Gemm.</summary>
    public static NodeChoice? Choose(Node node, Tensor tensor, BlockWeight? weight, PlanContext context)
    {
        if (!node.Is("MatMul") && !node.Is("Gemm"))
        {
            return null;
        }

        if (weight is null)
        {
            return NodeChoice.Expanded(new RejectedKernel("ort:MatMulNBits", $"stored as {UnitSpec.Shorten(tensor.Encoding.Describe())}, which is not integer blocks of a matrix"));
        }

        int level = context.Options.Accuracy == PlanAccuracy.Fast ? 4 : 0;
        string kernel = Kernel(weight, level);
        if (WhyNot(node, tensor, weight, context) is string reason)
        {
            return NodeChoice.Expanded(new RejectedKernel(kernel, reason));
        }

        if (level == 0 && weight.Bits == 8)
        {
            return NodeChoice.Expanded(
                new RejectedKernel(kernel, "no fast kernel for 8 bits without rounding activations: 12 to 80 times slower than dense f32 at one row where it was measured"),
                new RejectedKernel(Kernel(weight, 4), "rounds activations to int8, about 0.6 % relative error: plan with accuracy 'fast' to use it"));
        }

        RejectedKernel other = level == 0
            ? new RejectedKernel(Kernel(weight, 4), "rounds activations to int8, about 0.5 % relative error: plan with accuracy 'fast' to use it")
            : new RejectedKernel(Kernel(weight, 0), "exact but about twice as slow at one row; accuracy 'fast' was asked for");
        return new NodeChoice(kernel, Build(node, tensor, weight, level, context), [other, new RejectedKernel(NodeChoice.Expand, Memory(tensor, weight))]);
    }

    /// <summary>True when the operator reads the weight of a node as it is stored.</summary>
    public static bool IsPossible(Node node, Tensor tensor, PlanContext context) => BlockWeight.Of(tensor.Encoding) is BlockWeight weight && WhyNot(node, tensor, weight, context) is null;

    /// <summary>Name of the kernel as plans record it.</summary>
    internal static string Kernel(BlockWeight weight, int level) =>
        string.Create(CultureInfo.InvariantCulture, $"ort:MatMulNBits(bits={weight.Bits},block={weight.Block},level={level})");

    private static string Memory(Tensor tensor, BlockWeight weight) => string.Create(
        CultureInfo.InvariantCulture, $"{tensor.DType.StorageBytes(tensor.Shape.ElementCount)} bytes of dense weights instead of {weight.KernelBytes}");

    private static string? WhyNot(Node node, Tensor tensor, BlockWeight weight, PlanContext context) => true switch
    {
        _ when weight.Bits is not (4 or 8) => $"the operator has no fast kernel for {weight.Bits} bits",
        _ when weight.Block is not (16 or 32 or 64 or 128 or 256) => $"the operator takes blocks of 16 to 256, not {weight.Block}",
        _ when weight.Columns > int.MaxValue || weight.Rows > int.MaxValue => "the matrix is too large for the operator",
        _ => MatMulNode.WhyNot(node, tensor, weight.Transposed, context),
    };

    //  MatMul(A, W)         ->  MatMulNBits(A, codes, scales [, zero points])
    //  Gemm(A, W, C [N])    ->  MatMulNBits(A, codes, scales, zero points?, "", C)
    //  Gemm(A, W, C other)  ->  Add(MatMulNBits(A, codes, scales [, zero points]), C)
    private static ImmutableArray<Node> Build(Node node, Tensor tensor, BlockWeight weight, int level, PlanContext context)
    {
        var inputs = new List<string>
        {
            node.Inputs[0],
            context.Streams.Get(tensor, weight.Encoding, "codes", DType.U8, new Shape(weight.Rows, weight.BlockCount, weight.BlobBytes)),
            context.Streams.Get(tensor, weight.Encoding, "scales", DType.F32, new Shape(weight.Rows, weight.BlockCount)),
        };
        if (!weight.Symmetric)
        {
            inputs.Add(context.Streams.Get(tensor, weight.Encoding, "zero-points", DType.U8, new Shape(weight.Rows, weight.ZeroPointBytes)));
        }

        string bias = node.Is("Gemm") ? node.Input(2) : "";
        bool inside = bias.Length > 0 && context.Index.Initializer(bias) is Tensor { DType: DType.F32, Shape.Rank: 1 } c && c.Shape[0] == weight.Rows;
        if (inside)
        {
            while (inputs.Count < 5)
            {
                inputs.Add(""); // Zero points of a symmetric weight, and g_idx.
            }

            inputs.Add(bias);
        }

        string product = bias.Length == 0 || inside ? node.Outputs[0] : GraphValueNames.Fresh(context.Names, node.Outputs[0] + "_product");
        var multiply = new Node
        {
            Name = node.Name,
            OpType = "MatMulNBits",
            Domain = Domain,
            Inputs = [.. inputs],
            Outputs = [product],
            Attributes =
            [
                new NodeAttribute("K", new AttributeValue.Int(weight.Columns)),
                new NodeAttribute("N", new AttributeValue.Int(weight.Rows)),
                new NodeAttribute("accuracy_level", new AttributeValue.Int(level)),
                new NodeAttribute("bits", new AttributeValue.Int(weight.Bits)),
                new NodeAttribute("block_size", new AttributeValue.Int(weight.Block)),
            ],
        };
        return product == node.Outputs[0]
            ? [multiply]
            : [multiply, MatMulNode.AddBias(node, product, bias)];
    }
}
