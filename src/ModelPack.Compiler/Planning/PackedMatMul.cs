using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Kernels.MatMul;

namespace ModelPack.Compiler.Planning;

/// <summary>MatMul and Gemm on a weight that the own kernels read packed, as <c>ai.modelpack::PackedMatMul</c>.</summary>
/// <remarks>
/// Why before the operators of ONNX Runtime: one thread of an Intel Xeon (family 6 model 207) with AVX-512, 2026-11-29, ONNX Runtime 1.31.1, billions of weights per second at M = 1 (K = N = 4096; own kernels N = 32768, from
/// memory), and of multiplications at M = 128 (ONNX Runtime M = 256); made by <c>--kernels</c> and <c>--matmul</c> of tests/ModelPack.Benchmarks:
/// <code>
///                    ONNX Runtime          own, f32          own, int8 activations
/// dense f32          3.6 / 72
/// int4 b32           8.2 / 69 (level 0)    15-22 / 70        27-36 / 73
/// int4 b32 level 4   14 / 53
/// int4 b128 level 4  18 / 79               17-21 / 71        41-43 / 101
/// int8 b128 level 4  12 / 98               7.5 / 62          14 / 92
/// mxfp4 b32          none                  21-23 / 74        33 / 73
/// fp8                none                  6.5 / 61          none
/// </code>
/// </remarks>
internal static class PackedMatMul
{
    /// <summary>Domain of the operator.</summary>
    public const string Domain = "ai.modelpack";

    /// <summary>
    /// Weights of a matrix below which ONNX Runtime's level 4 is as fast as the integer kernels, or up to a tenth faster (0.9 times the time of the sample model at one row, whose matrices have 65,536 to 1,048,576).
    /// </summary>
    private const long LeastForIntegers = 1 << 19;

    /// <summary>The choice for a node whose input 1 is <paramref name="tensor"/>; null when the operator cannot take its place.</summary>
    public static NodeChoice? Choose(Node node, Tensor tensor, PlanContext context)
    {
        if (context.Options.StockOperators || !(node.Is("MatMul") || node.Is("Gemm")) || Matrix(tensor.Encoding) is not (DenseEncoding matrix, bool transposed))
        {
            return null;
        }

        if (MatMulNode.WhyNot(node, tensor, transposed, context) is not null || matrix.Shape.Rows > int.MaxValue || matrix.Shape.Columns > int.MaxValue)
        {
            return null;
        }

        using MatMulWeight? weight = MatMulWeight.TryCreate(matrix.Format, (int)matrix.Shape.Rows, (int)matrix.Shape.Columns);
        if (weight is null)
        {
            return null;
        }

        bool integer = context.Options.Accuracy == PlanAccuracy.Fast && weight.HasIntegerKernel;
        if (integer && matrix.Shape.ElementCount < LeastForIntegers && MatMulNBits.IsPossible(node, tensor, context))
        {
            return null;
        }

        long bytes = PackedMatrix.Bytes(weight);
        var alternatives = ImmutableArray.CreateBuilder<RejectedKernel>();
        if (weight.HasIntegerKernel)
        {
            alternatives.Add(integer
                ? new RejectedKernel(Kernel(matrix.Format, false), "exact, but slower at one row; accuracy 'fast' was asked for")
                : new RejectedKernel(Kernel(matrix.Format, true), string.Create(CultureInfo.InvariantCulture, $"rounds activations to int8, about 0.5 % relative error{WeightError(weight)}: plan with accuracy 'fast' to use it")));
        }

        if (BlockWeight.Of(tensor.Encoding) is { Bits: 2 or 4 or 8 } block)
        {
            alternatives.Add(new RejectedKernel(string.Create(CultureInfo.InvariantCulture, $"ort:MatMulNBits(bits={block.Bits},block={block.Block})"), "half as fast at one row where it was measured; taken with stock operators"));
        }

        alternatives.Add(new RejectedKernel(NodeChoice.Expand, string.Create(CultureInfo.InvariantCulture, $"{tensor.DType.StorageBytes(tensor.Shape.ElementCount)} bytes of dense weights instead of {bytes}")));
        return new NodeChoice(Kernel(matrix.Format, integer), [.. Build(node, tensor, matrix, bytes, integer, context)], alternatives.ToImmutable());
    }

    private static string WeightError(MatMulWeight weight) => weight.IntegerWeightError == 0
        ? ""
        : string.Create(CultureInfo.InvariantCulture, $" of products and up to {weight.IntegerWeightError:0.000} of the largest weight of a block");

    private static string Kernel(UnitSpec format, bool integer) => $"modelpack:PackedMatMul({format.Id},{(integer ? "int8" : "f32")})";

    /// <summary>The dense matrix, and whether the tensor is its transpose.</summary>
    private static (DenseEncoding Matrix, bool Transposed)? Matrix(WeightEncoding encoding) => encoding switch
    {
        DenseEncoding { Shape.Rank: 2 } dense => (dense, false),
        StructuredEncoding { Components: [DenseEncoding { Shape.Rank: 2 } dense] } s when s.Structure.Id == "permuted" && s.Structure.Text("perm", "") == "1x0" => (dense, true),
        _ => null,
    };

    //  MatMul(A, W)         ->  PackedMatMul(A, tiles)
    //  Gemm(A, W, C [N])    ->  PackedMatMul(A, tiles, C)
    //  Gemm(A, W, C other)  ->  Add(PackedMatMul(A, tiles), C)
    private static Node[] Build(Node node, Tensor tensor, DenseEncoding matrix, long bytes, bool integer, PlanContext context)
    {
        string tiles = context.Streams.GetTiles(tensor, bytes);
        string bias = node.Is("Gemm") ? node.Input(2) : "";
        bool inside = bias.Length > 0 && context.Index.Initializer(bias) is Tensor { DType: DType.F32, Shape.Rank: 1 } c && c.Shape[0] == matrix.Shape.Rows;
        string product = bias.Length == 0 || inside ? node.Outputs[0] : GraphValueNames.Fresh(context.Names, node.Outputs[0] + "_product");
        var multiply = new Node
        {
            Name = node.Name,
            OpType = "PackedMatMul",
            Domain = Domain,
            Inputs = inside ? [node.Inputs[0], tiles, bias] : [node.Inputs[0], tiles],
            Outputs = [product],
            Attributes =
            [
                new NodeAttribute("N", new AttributeValue.Int(matrix.Shape.Rows)),
                new NodeAttribute("arithmetic", new AttributeValue.Text(integer ? "int8" : "f32")),
            ],
        };
        return product == node.Outputs[0] ? [multiply] : [multiply, MatMulNode.AddBias(node, product, bias)];
    }
}
