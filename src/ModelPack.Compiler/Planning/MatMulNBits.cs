using System.Collections.Immutable;
using System.Globalization;

namespace ModelPack.Compiler.Planning;

/// <summary>
/// MatMul and Gemm on a block-integer weight as ONNX Runtime's <c>com.microsoft.MatMulNBits</c>, which reads the stored codes.
/// </summary>
/// <remarks>
/// <para>Why what is chosen: ONNX Runtime 1.31.1, one thread of an AMD EPYC (Zen 4) with AVX-512 (2026-11-22, other work on the machine, best of many runs), milliseconds
/// at M = 1 / M = 256, and error of the product relative to f64 on the decoded weights (N(0,1) activations):</para>
/// <code>
///                         K=768 N=256     K=1024 N=1024    K=4096 N=4096   error
/// dense f32               0.011 / 0.88    0.051 /  9.6      3.1 / 373      3e-7
/// int4 b32  level 0       0.015 / 0.90    0.074 /  5.7      1.8 / 449      5e-7
/// int4 b128 level 0       0.014 / 0.90    0.065 / 10.2      1.4 / 352      5e-7
/// int4 b32  level 4       0.006 / 0.82    0.022 /  8.8      0.31 / 221     5.3e-3
/// int4 b128 level 4       0.005 / 0.59    0.015 /  3.0      0.19 / 151     6.3e-3
/// int8 b128 level 0       0.215 / 1.11    2.6   / 17.6      291 / 677      2e-7
/// int8 b128 level 4       0.005 / 0.54    0.021 /  2.7      0.35 / 124     6.6e-3
/// </code>
/// <para>Level 1 takes the same path as level 0. So exact int4 uses level 0: as fast as dense and a seventh of its memory. Exact int8 expands:
/// level 0 has no fast kernel for 8 bits. Level 4 rounds activations to int8 per block and is left to <see cref="PlanAccuracy.Fast"/>.</para>
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

        int level = context.Options.Accuracy == PlanAccuracy.Exact ? 0 : 4;
        string kernel = Kernel(weight, level);
        if (WhyNot(node, tensor, weight, context) is string reason)
        {
            return NodeChoice.Expanded(new RejectedKernel(kernel, reason));
        }

        if (level == 0 && weight.Bits == 8)
        {
            return NodeChoice.Expanded(
                new RejectedKernel(kernel, "no fast kernel for 8 bits without rounding activations: measured 19 to 95 times slower than dense f32 at one row"),
                new RejectedKernel(Kernel(weight, 4), "rounds activations to int8, about 0.6 % relative error: plan with accuracy 'fast' to use it"));
        }

        RejectedKernel other = level == 0
            ? new RejectedKernel(Kernel(weight, 4), "rounds activations to int8, about 0.5 % relative error: plan with accuracy 'fast' to use it")
            : new RejectedKernel(Kernel(weight, 0), "exact but 2 to 8 times slower at one row; accuracy 'fast' was asked for");
        return new NodeChoice(kernel, Build(node, tensor, weight, level, context), [other, new RejectedKernel(NodeChoice.Expand, Memory(tensor, weight))]);
    }

    private static string Kernel(BlockWeight weight, int level) =>
        string.Create(CultureInfo.InvariantCulture, $"ort:MatMulNBits(bits={weight.Bits},block={weight.Block},level={level})");

    private static string Memory(Tensor tensor, BlockWeight weight) => string.Create(
        CultureInfo.InvariantCulture, $"{tensor.DType.StorageBytes(tensor.Shape.ElementCount)} bytes of dense weights instead of {weight.KernelBytes}, and no faster");

    private static string? WhyNot(Node node, Tensor tensor, BlockWeight weight, PlanContext context)
    {
        bool gemm = node.Is("Gemm");
        bool weightIsRowMajorOverOutputs = gemm && node.Int("transB", 0) != 0;
        return true switch
        {
            _ when weight.Bits is not (4 or 8) => $"the operator has no fast kernel for {weight.Bits} bits",
            _ when weight.Block is not (16 or 32 or 64 or 128 or 256) => $"the operator takes blocks of 16 to 256, not {weight.Block}",
            _ when tensor.DType != DType.F32 => $"activations are {tensor.DType.Name()}, the kernel is chosen for f32 only",
            _ when tensor.Shape.Rank != 2 => "the weight is not a matrix",
            _ when weight.Transposed == weightIsRowMajorOverOutputs => "blocks do not run along the reduction axis",
            _ when weight.Columns > int.MaxValue || weight.Rows > int.MaxValue => "the matrix is too large for the operator",
            _ when node.Input(0) == tensor.Name => "both factors are the same tensor",
            _ when gemm && node.Int("transA", 0) != 0 => "Gemm transposes its first factor",
            _ when gemm && !IsOne(node.Float("alpha", 1)) => "Gemm scales the product",
            _ when gemm && node.Input(2).Length > 0 && !IsOne(node.Float("beta", 1)) => "Gemm scales its bias",
            _ when gemm && context.Opset < 7 => "Gemm of this operator-set version broadcasts differently",
            _ => null,
        };
    }

    private static bool IsOne(float value) => value.Equals(1f);

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
            : [multiply, new Node { Name = node.Name.Length > 0 ? node.Name + "_bias" : "", OpType = "Add", Inputs = [product, bias], Outputs = node.Outputs }];
    }
}
