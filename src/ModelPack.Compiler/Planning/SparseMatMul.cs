using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Kernels.MatMul;

namespace ModelPack.Compiler.Planning;

/// <summary>MatMul and Gemm on a block-sparse weight, as <c>ai.modelpack::PackedMatMul</c> on the blocks that are stored; expanded where that is faster: by measurements of this machine where there are any (<see cref="SparseTimes"/>), else by those below.</summary>
/// <remarks>
/// Why what is chosen: times as fast as ONNX Runtime's dense f32 product (1.31.1), by <c>modelpack bench kernels --sparsity</c>, all products taking turns; one thread of a shared AMD EPYC (family 25 model 17) with AVX-512,
/// blocks of 32 x 32, 2026-11-29. Blocks that share stripes cost what the stripes do: the density below is that of all multiplications, zeros between blocks included.
/// <code>
///                       M = 1, K = 4096, N = 11008        M = 1, K = 256, N = 768              M = 128, K = 4096, N = 11008
/// stored                100 %  30 %   10 %   5 %          70 %   50 %   30 %   10 %            100 %  30 %   10 %   5 %
/// f32                   1.2    3.6    14.7   42.6         1.9    2.4    3.8    7.5             0.9    3.5    10.2   23.9
/// bf16                         6.7    40.1   76.8         2.3    3.0    4.3    8.6
/// int8 b32                     9.0    27.2   51.8         1.4    1.8    2.8    6.3
/// mxfp4                        11.7   33.6   63.6         1.7    2.2    3.3    7.1                    3.2    10.3   26.5
/// </code>
/// And with an AMD EPYC (family 26 model 2) alone, f32, K = 4096, N = 11008, one / two threads: M = 1 at 30 % 4.3 / 2.7, at 10 % 15.4 / 8.0, at 5 % 30.0 / 14.0; M = 128 at 30 % 2.8 / 2.5, at 10 % 8.0 / 9.8, at 5 % 16.0 / 15.5;
/// N = 24576, M = 1 at 10 % 16.8 / 14.1, with values in mxfp4 (5.4 MB instead of 403) 72.8 / 55.1.
/// Since then activations of the next run are fetched ahead: M = 128, both measured in turn on one thread, at 30 % 2.85 to 2.97 before, 3.13 after; at 10 % 8.3 to 8.4 before, 8.5 after (2026-11-30).
/// On two threads these were measured as equal halves after a run on one thread, whose caches held everything. As operators run, each thread with its own share and after a run on as many threads, same machine alone (2026-11-30), one / two threads:
/// M = 1 at 30 % 4.9 / 5.0, at 10 % 16.5 / 17.1, at 5 % 35.2 / 36.8; M = 128 at 10 % 8.7 / 7.3, at 5 % 17.0 / 12.0.
/// With many rows, 0.3 ms of these on two threads went to taking back the prepared activations from the cache of the other core (now they are written past the caches, see Interleaving) and 0.3 to waking a thread (now the benchmark's threads
/// wait actively, as ONNX Runtime's do). M = 128 at 30 % 3.0 / 3.2, at 10 % 8.5 / 9.0, at 5 % 16.7 / 16.6, the lesser of two runs; ONNX Runtime's own product takes 64.4 / 39.7 ms (1.6 times as fast on two threads), at 5 % 3.9 / 2.4 ms (same machine, then a quarter slower, 2026-11-30).
/// </remarks>
public static class SparseMatMul
{
    /// <summary>How the names of its kernels begin in plans.</summary>
    public const string Name = "modelpack:SparseMatMul";

    /// <summary>Time per multiplication over that of ONNX Runtime's dense product: the largest of the table.</summary>
    private const double PerMultiplication = 1.1;

    /// <summary>Time that does not depend on density, over that of the dense product of a small matrix.</summary>
    private const double Fixed = 0.05;

    /// <summary>The choice for a node whose input 1 is <paramref name="tensor"/>; null when the weight is not block-sparse, or the operator cannot take the node's place.</summary>
    internal static NodeChoice? Choose(Node node, Tensor tensor, PlanContext context)
    {
        if (context.Options.StockOperators || !(node.Is("MatMul") || node.Is("Gemm")) || Matrix(tensor.Encoding) is not (StructuredEncoding matrix, bool transposed))
        {
            return null;
        }

        string kernel = Kernel(matrix);

        // A matrix that is stored as [inputs, outputs] is turned when it is loaded.
        string? reason = MatMulNode.WhyNot(node, tensor, transposed, context);
        bool turned = reason is not null && MatMulNode.WhyNot(node, tensor, !transposed, context) is null;
        if (reason is not null && !turned)
        {
            return NodeChoice.Expanded(new RejectedKernel(kernel, reason));
        }

        using SparseWeight? weight = Weight(matrix, turned);
        if (weight is null)
        {
            return NodeChoice.Expanded(new RejectedKernel(kernel, "no kernel reads such blocks of such values"));
        }

        double time = Fixed + (PerMultiplication * weight.Density);
        double stored = Math.Min(1, (double)weight.StoredBlocks * weight.BlockRows * weight.BlockColumns / ((double)weight.Rows * weight.Columns));
        SparseTimes.Compared? measured = SparseTimes.Of(kernel, matrix.Structure, weight.Format, (weight.Rows, weight.Columns), weight.Bytes, stored, weight.Density, time < 1, context);
        string predicted = measured is null
            ? string.Create(CultureInfo.InvariantCulture, $"about {time:0.00} times the time of the dense product, {weight.Density:0.000} of its multiplications")
            : string.Create(CultureInfo.InvariantCulture, $"{measured.Ratio:0.00} times the time of the dense product {measured.Source}, {weight.Density:0.000} of its multiplications");
        if (!(measured?.Taken ?? time < 1))
        {
            return NodeChoice.Expanded(new RejectedKernel(kernel, predicted));
        }

        long bytes = PackedSparseMatrix.Bytes(weight);
        var dense = new RejectedKernel(NodeChoice.Expand, string.Create(
            CultureInfo.InvariantCulture, $"the sparse kernel takes {predicted}; {tensor.DType.StorageBytes(tensor.Shape.ElementCount)} bytes of dense weights instead of {bytes}"));
        ImmutableArray<Node> nodes = PackedMatMul.Build(node, tensor, weight.Rows, bytes, MatMulArithmetic.Float, context, turned);
        context.SparseTiles.Add(nodes[0].Inputs[1]);
        return new NodeChoice(kernel, nodes, [dense]);
    }

    /// <summary>The block-sparse matrix, and whether the tensor is its transpose.</summary>
    private static (StructuredEncoding Matrix, bool Transposed)? Matrix(WeightEncoding encoding) => encoding switch
    {
        StructuredEncoding { Structure.Id: "blocksparse", Shape.Rank: 2 } sparse => (sparse, false),
        StructuredEncoding { Components: [StructuredEncoding { Structure.Id: "blocksparse", Shape.Rank: 2 } sparse] } s when s.Structure.Id == "permuted" && s.Structure.Text("perm", "") == "1x0" => (sparse, true),
        _ => null,
    };

    private static string Kernel(StructuredEncoding matrix) =>
        $"{Name}({matrix.Structure.Text("block", "")},{(matrix.Components is [_, DenseEncoding values] ? values.Format.Id : "any")})";

    private static SparseWeight? Weight(StructuredEncoding matrix, bool turned)
    {
        if (matrix.Components is not [DenseEncoding { IsPending: false, Streams: [EncodedStream bits] }, DenseEncoding values] || matrix.Shape[0] > int.MaxValue || matrix.Shape[1] > int.MaxValue || bits.Data.LengthBytes > Array.MaxLength)
        {
            return null;
        }

        byte[] mask = new byte[bits.Data.LengthBytes];
        bits.Data.Read(0, mask);
        return SparseWeight.TryCreate(matrix.Structure, values.Format, (int)matrix.Shape[turned ? 1 : 0], (int)matrix.Shape[turned ? 0 : 1], mask, turned);
    }
}
