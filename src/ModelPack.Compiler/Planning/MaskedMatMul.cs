using System.Globalization;
using ModelPack.Kernels.MatMul;

namespace ModelPack.Compiler.Planning;

/// <summary>MatMul and Gemm on a weight of which single elements are stored (N:M, banks, any), as <c>ai.modelpack::PackedMatMul</c> on these; expanded where that is faster: by measurements of this machine where there are any (<see cref="SparseTimes"/>), else by those below.</summary>
/// <remarks>
/// Where: milliseconds of one row by <c>modelpack bench kernels --sparse-block</c>, all products taking turns; AMD EPYC (family 26 model 2) with AVX-512, one / two threads, 2026-11-29. The kernel takes about as long for any
/// density, because it goes through all places: it gains where the dense f32 weights come from memory. Two threads scatter by half.
/// <code>
///                      K = 4096, N = 11008 (other work beside)   K = 1024, N = 2816 (alone)   K = 256, N = 768 (alone)
/// 2:4   f32            4.4 / 2.9                                 0.19 / 0.21                  0.019 / 0.038
/// 2:4   bf16           2.8 / 1.8                                 0.19 / 0.20                  0.019 / 0.035
/// 2:4   int8 b32       3.8 / 2.6                                 0.21 / 0.22                  0.022 / 0.037
/// ONNX Runtime f32     6.6 / 7.6                                 0.19 / 0.47                  0.011 / 0.018
/// 1:4   f32            3.0 / 3.4
/// 16:64 bf16           2.5 / 2.6                                                              0.019 / 0.013
/// ONNX Runtime f32     6.8 / 7.1                                                              0.011 / 0.013
/// bitmap f32, 70 %     3.3 / 3.3                                                              0.020 / 0.011
/// bitmap bf16, 50 %    2.7 / 2.8                                                              0.019 / 0.011
/// ONNX Runtime f32     7.0 / 3.9                                                              0.012 / 0.021
/// </code>
/// Four rows take 0.3 to 0.8 times the speed of the dense product on one thread, 16 rows 0.2 (256 x 768).
/// </remarks>
internal static class MaskedMatMul
{
    /// <summary>How the names of its kernels begin in plans.</summary>
    public const string Name = "modelpack:MaskedMatMul";

    /// <summary>Rows of activations beyond which dense products are faster.</summary>
    private const int MostRows = 1;

    /// <summary>Weights of a matrix below which the dense f32 product is as fast or faster at one row: it is in the caches then.</summary>
    private const long LeastWeights = 1 << 23;

    /// <summary>Bytes of the layout over those of dense f32 weights beyond which little is gained.</summary>
    private const double MostBytes = 0.75;

    /// <summary>The choice for a node whose input 1 is <paramref name="tensor"/>; null when the weight has no such structure.</summary>
    internal static NodeChoice? Choose(Node node, Tensor tensor, PlanContext context)
    {
        if (context.Options.StockOperators || !(node.Is("MatMul") || node.Is("Gemm")) || Matrix(tensor.Encoding) is not (StructuredEncoding matrix, bool transposed))
        {
            return null;
        }

        string kernel = $"{Name}({matrix.Structure},{(matrix.Components is [_, DenseEncoding values] ? values.Format.Id : "any")})";
        if (MatMulNode.WhyNot(node, tensor, transposed, context) is string reason)
        {
            return NodeChoice.Expanded(new RejectedKernel(kernel, reason));
        }

        if (Weight(matrix) is not MaskedWeight weight)
        {
            return NodeChoice.Expanded(new RejectedKernel(kernel, "no kernel reads such values at such places"));
        }

        string? slow = WhyNot(weight, context);
        SparseTimes.Compared? measured = SparseTimes.Of(kernel, weight.Structure, weight.Format, (weight.Rows, weight.Columns), weight.Bytes, weight.Density, 1, slow is null, context);
        string? compared = measured is null ? null : string.Create(CultureInfo.InvariantCulture, $"{measured.Ratio:0.00} times the time of the dense product {measured.Source}");
        if (!(measured?.Taken ?? slow is null))
        {
            return NodeChoice.Expanded(new RejectedKernel(kernel, compared ?? slow!));
        }

        long bytes = PackedMaskedMatrix.Bytes(weight);
        string why = compared is null ? "1.5 to 2.8 times as long at one row on one thread where they come from memory; from 4 rows on the dense product is faster" : $"the sparse kernel takes {compared}";
        var dense = new RejectedKernel(NodeChoice.Expand, $"{tensor.DType.StorageBytes(tensor.Shape.ElementCount)} bytes of dense weights instead of {bytes}: {why}");
        return new NodeChoice(kernel, PackedMatMul.Build(node, tensor, weight.Rows, bytes, MatMulArithmetic.Float, context), [dense]);
    }

    /// <summary>Why dense execution is faster; null where it is not.</summary>
    private static string? WhyNot(MaskedWeight weight, PlanContext context) => true switch
    {
        _ when context.Options.Rows > MostRows => $"planned for {context.Options.Rows} rows: 0.2 to 0.8 times as fast as the dense product from 4 rows on where it was measured on one thread",
        _ when (long)weight.Rows * weight.Columns < LeastWeights => string.Create(CultureInfo.InvariantCulture, $"0.6 to 1.0 times as fast as the dense product on one thread where so few weights ({(long)weight.Rows * weight.Columns}) were measured"),
        _ when weight.Bytes > MostBytes * sizeof(float) * weight.Rows * weight.Columns => string.Create(CultureInfo.InvariantCulture, $"reads {weight.Bytes / (4.0 * weight.Rows * weight.Columns):0.00} times the bytes of dense f32 weights"),
        _ => null,
    };

    private static (StructuredEncoding Matrix, bool Transposed)? Matrix(WeightEncoding encoding) => encoding switch
    {
        StructuredEncoding { Structure.Id: "nm" or "bankbalanced" or "bitmap", Shape.Rank: 2 } sparse => (sparse, false),
        StructuredEncoding { Components: [StructuredEncoding { Structure.Id: "nm" or "bankbalanced" or "bitmap", Shape.Rank: 2 } sparse] } s when s.Structure.Id == "permuted" && s.Structure.Text("perm", "") == "1x0" => (sparse, true),
        _ => null,
    };

    private static MaskedWeight? Weight(StructuredEncoding matrix)
    {
        if (matrix.Components is not [DenseEncoding { IsPending: false, Streams: [EncodedStream bits] }, DenseEncoding values] || matrix.Shape[0] > int.MaxValue || matrix.Shape[1] > int.MaxValue || bits.Data.LengthBytes > Array.MaxLength)
        {
            return null;
        }

        byte[] mask = new byte[bits.Data.LengthBytes];
        bits.Data.Read(0, mask);
        return MaskedWeight.TryCreate(matrix.Structure, values.Format, (int)matrix.Shape[0], (int)matrix.Shape[1], mask);
    }
}
