using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Kernels.MatMul;

namespace ModelPack.Compiler.Planning;

/// <summary>MatMul and Gemm on a weight that the own kernels read packed, as <c>ai.modelpack::PackedMatMul</c>.</summary>
/// <remarks>
/// Why before the operators of ONNX Runtime (1.31.1) and beside those of ggml (of node-llama-cpp 3.22.1, its build for Zen 4; the better of its plain and repacked layouts): milliseconds, 2 cores of an AMD EPYC (family 26
/// model 2: AVX-512 with AVX512_VNNI, AVX512_BF16 and AVX-VNNI), 2026-11-29, the best of many runs, everything else stopped.
/// <code>
///                       M = 1, K = 4096, N = 11008, one / two threads    M = 128, K = N = 4096, one / two threads
/// int4 b32, int8        0.61 / 0.35   ggml q4_0 1.09 / 0.70              8.0 / 4.4    ggml 17 / 8.8   level 4 18.7 / 10.8
/// mxfp4, int8           0.46 / 0.26   ggml mxfp4 1.29 / 0.80             7.7 / 4.1    ggml 17 / 8.9
/// nvfp4, int8           0.62 / 0.35                                      9.2 / 5.0
/// int8 b32, int8        1.05 / 0.69   ggml q8_0 1.62 / 1.07              8.0 / 4.3    ggml 34 / 17    level 4 (b128) 14.0
/// ternary, int8         0.14 / 0.08   ggml tq2_0 0.51 / 0.40             5.8 / 3.0    ggml 25 / 13
/// fp8, f32 and bf16     1.45 / 0.82   none                               22.8 / 11.6 and 12.0 / 6.2
/// bf16, f32 and bf16    2.3 / 1.3                                        23.6 / 12.1 and 12.5 / 6.6   dense f32 23.5 / 14.8
/// </code>
/// Without the kernels made at run time (<c>MODELPACK_EMIT=0</c>, or a machine without those instructions) M = 128 takes three times as long with int8 (int4 b32 24.9 / 13.1), M = 1 from memory 1.1 to 1.9 times.
/// On an AMD EPYC (family 25 model 17), before those kernels, M = 1, K = 4096, N = 98304, two threads: int4 b32 10 (f32) and 8.1 (int8), ONNX Runtime 21 (level 0) and 8.8 (level 4).
/// On an Intel Xeon (family 6 model 207), which has AVX-VNNI, the own kernels with 8-bit activations took 0.8 times the time of level 4 for int4 in blocks of 32 and the same for int8 in blocks of 128.
/// </remarks>
public static class PackedMatMul
{
    /// <summary>Domain of the operator.</summary>
    public const string Domain = "ai.modelpack";

    /// <summary>True for a node of this operator.</summary>
    internal static bool Is(Node node) => node.OpType == "PackedMatMul" && node.Domain == Domain;

    /// <summary>The choice for a node whose input 1 is <paramref name="tensor"/>; null when the operator cannot take its place.</summary>
    internal static NodeChoice? Choose(Node node, Tensor tensor, PlanContext context)
    {
        using MatMulWeight? weight = Weight(node, tensor, context);
        return weight is not null ? Choose(node, tensor, weight, Arithmetic(weight, context), context) : null;
    }

    /// <summary>The weight of a node as the operator takes it, to be disposed; null when the operator cannot take the node's place.</summary>
    internal static MatMulWeight? Weight(Node node, Tensor tensor, PlanContext context) =>
        !context.Options.StockOperators && !IsKept(tensor, context) && (node.Is("MatMul") || node.Is("Gemm")) && Matrix(tensor.Encoding) is (DenseEncoding, bool transposed) && MatMulNode.WhyNot(node, tensor, transposed, context) is null
            ? Weight(tensor)
            : null;

    /// <summary>True for plain floats whose products are to be those of dense weights, bit for bit: the kernels add in another order.</summary>
    internal static bool IsKept(Tensor tensor, PlanContext context) =>
        context.Options.Accuracy == PlanAccuracy.Identical && Values(tensor.Encoding) is DenseEncoding values && DTypes.TryParse(values.Format.Id, out _);

    /// <summary>What holds the values of a weight: the last component where there is a structure.</summary>
    private static DenseEncoding? Values(WeightEncoding encoding) => encoding switch
    {
        DenseEncoding dense => dense,
        StructuredEncoding { Components: [.., var last] } => Values(last),
        _ => null,
    };

    /// <summary>A weight in execution layout, to be disposed; null when no kernel reads it.</summary>
    internal static MatMulWeight? Weight(Tensor tensor) => Matrix(tensor.Encoding) is (DenseEncoding matrix, _) ? MatMulWeight.TryCreate(matrix) : null;

    /// <summary>The arithmetic that the accuracy asked for allows.</summary>
    internal static MatMulArithmetic Arithmetic(MatMulWeight weight, PlanContext context) => context.Options.Accuracy == PlanAccuracy.Fast ? weight.Rounding() : MatMulArithmetic.Float;

    /// <summary>Name of a kernel as plans record it.</summary>
    internal static string Kernel(UnitSpec format, MatMulArithmetic arithmetic) => $"modelpack:PackedMatMul({format.Id},{arithmetic.Name()})";

    /// <summary>The choice of one of the arithmetics.</summary>
    internal static NodeChoice Choose(Node node, Tensor tensor, MatMulWeight weight, MatMulArithmetic arithmetic, PlanContext context)
    {
        DenseEncoding matrix = Matrix(tensor.Encoding)!.Value.Matrix;
        long bytes = PackedMatrix.Bytes(weight);
        var alternatives = ImmutableArray.CreateBuilder<RejectedKernel>();
        MatMulArithmetic rounding = weight.Rounding();
        if (arithmetic != MatMulArithmetic.Float)
        {
            alternatives.Add(new RejectedKernel(Kernel(matrix.Format, MatMulArithmetic.Float), arithmetic == MatMulArithmetic.Integer ? "exact, but slower; accuracy 'fast' was asked for" : "exact, but slower at several rows; accuracy 'fast' was asked for"));
        }
        else if (rounding != MatMulArithmetic.Float)
        {
            alternatives.Add(new RejectedKernel(Kernel(matrix.Format, rounding), $"rounds activations to {(rounding == MatMulArithmetic.Integer ? "int8, about 0.5 % relative error" + WeightError(weight) : "BF16, at most 0.2 % relative error of each, where there are several rows")}: plan with accuracy 'fast' to use it"));
        }

        if (BlockWeight.Of(tensor.Encoding) is { Bits: 2 or 4 or 8 } block)
        {
            alternatives.Add(new RejectedKernel(string.Create(CultureInfo.InvariantCulture, $"ort:MatMulNBits(bits={block.Bits},block={block.Block})"), (arithmetic == MatMulArithmetic.Integer ? "level 4 takes 1.2 to 2.5 times as long where it was measured, without AVX512_VNNI 0.85 to 1.3 times at one row" : "level 0 takes about twice as long at one row where it was measured") + "; taken with stock operators"));
        }

        alternatives.Add(new RejectedKernel(NodeChoice.Expand, string.Create(CultureInfo.InvariantCulture, $"{tensor.DType.StorageBytes(tensor.Shape.ElementCount)} bytes of dense weights instead of {bytes}")));
        return new NodeChoice(Kernel(matrix.Format, arithmetic), Build(node, tensor, matrix.Shape.Rows, bytes, arithmetic, context), alternatives.ToImmutable());
    }

    private static string WeightError(MatMulWeight weight) => weight.IntegerWeightError == 0
        ? ""
        : string.Create(CultureInfo.InvariantCulture, $" of products and up to {weight.IntegerWeightError:0.000} of the largest weight of a block");

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
    internal static ImmutableArray<Node> Build(Node node, Tensor tensor, long outputs, long bytes, MatMulArithmetic arithmetic, PlanContext context, bool transposed = false)
    {
        string tiles = context.Streams.GetTiles(tensor, bytes, transposed);
        string bias = node.Is("Gemm") ? node.Input(2) : "";
        bool inside = bias.Length > 0 && context.Index.Initializer(bias) is Tensor { DType: DType.F32, Shape.Rank: 1 } c && c.Shape[0] == outputs;
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
                new NodeAttribute("N", new AttributeValue.Int(outputs)),
                new NodeAttribute("arithmetic", new AttributeValue.Text(arithmetic.Name())),
            ],
        };
        return product == node.Outputs[0] ? [multiply] : [multiply, MatMulNode.AddBias(node, product, bias)];
    }
}
