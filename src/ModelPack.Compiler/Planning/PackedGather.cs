using System.Globalization;
using ModelPack.Kernels.MatMul;

namespace ModelPack.Compiler.Planning;

/// <summary>
/// Gather of rows of a table in any format that the own kernels read, as <c>ai.modelpack::PackedGather</c>: from the execution layout that a product reads as well (a tied embedding is held once), and of large tables, which are
/// then held in no other form.
/// </summary>
/// <remarks>
/// Values are those of Gather on the decoded table, bit for bit. A row is four bytes of every cache line of its tile: 0.8 to 1.4 microseconds per 256 values, 6 to 11 per 2048 (one thread of an AMD EPYC, family 26 model 2, 2026-11-30).
/// That is nothing beside the rest of a model, but more than copying, so that small tables are expanded where nothing else reads tiles.
/// </remarks>
internal static class PackedGather
{
    private const string Op = "PackedGather";

    /// <summary>The choice for a node whose input 0 is <paramref name="tensor"/>, after products have chosen; null where the operator cannot take its place, or does not pay.</summary>
    public static NodeChoice? Choose(Node node, Tensor tensor, PlanContext context)
    {
        if (!node.Is("Gather") || node.Int("axis", 0) is not (0 or -2) || context.Options.StockOperators || tensor.DType != DType.F32 || tensor.Encoding is not DenseEncoding { Shape.Rank: 2 } matrix)
        {
            return null;
        }

        bool shared = context.Streams.HasTiles(tensor);
        long denseBytes = tensor.DType.StorageBytes(tensor.Shape.ElementCount);
        using MatMulWeight? weight = PackedMatMul.Weight(tensor);
        if (weight is null || (!shared && (denseBytes < QuantizedGather.MinDenseBytes || PackedMatMul.IsKept(tensor, context))))
        {
            return null;
        }

        long bytes = PackedMatrix.Bytes(weight);
        var gather = new Node
        {
            Name = node.Name,
            OpType = Op,
            Domain = PackedMatMul.Domain,
            Inputs = [context.Streams.GetTiles(tensor, bytes), node.Inputs[1]],
            Outputs = node.Outputs,
            Attributes = [new NodeAttribute("N", new AttributeValue.Int(matrix.Shape.Columns))],
        };
        string memory = string.Create(CultureInfo.InvariantCulture, $"{denseBytes} bytes of dense table instead of {bytes}{(shared ? ", which a product reads anyway" : "")}");
        return new NodeChoice($"modelpack:{Op}({matrix.Format.Id})", [gather], [new RejectedKernel(NodeChoice.Expand, memory)]);
    }
}
