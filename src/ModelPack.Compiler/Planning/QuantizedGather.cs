using System.Globalization;

namespace ModelPack.Compiler.Planning;

/// <summary>
/// Gather on a block-integer embedding as ONNX Runtime's <c>com.microsoft.GatherBlockQuantized</c>, which decodes only the rows asked for.
/// </summary>
/// <remarks>
/// Its values are bit-identical to Gather on the decoded table when the row length is a multiple of the block (ONNX Runtime 1.31.1; otherwise wrong: the
/// padding of the last block becomes part of the row). It takes 0.06 to 0.3 microseconds per row of 256 values where Gather takes 0.04 to 0.1
/// (one thread of an AMD EPYC, family 25 model 17, 2026-11-22): nothing beside the rest of a model, but not faster, so small tables are expanded and
/// large ones, whose dense form costs load time and memory, are not.
/// </remarks>
internal static class QuantizedGather
{
    /// <summary>Dense tables from this size on stay quantized.</summary>
    internal const long MinDenseBytes = 32 << 20;

    /// <summary>The choice for a node whose input 0 is <paramref name="tensor"/>; null when the node is not Gather.</summary>
    public static NodeChoice? Choose(Node node, Tensor tensor, BlockWeight? weight, PlanContext context)
    {
        if (!node.Is("Gather"))
        {
            return null;
        }

        if (weight is null)
        {
            return NodeChoice.Expanded(new RejectedKernel("ort:GatherBlockQuantized", $"stored as {UnitSpec.Shorten(tensor.Encoding.Describe())}, which is not integer blocks of a matrix"));
        }

        string kernel = string.Create(CultureInfo.InvariantCulture, $"ort:GatherBlockQuantized(bits={weight.Bits},block={weight.Block})");
        if (WhyNot(node, tensor, weight) is string reason)
        {
            return NodeChoice.Expanded(new RejectedKernel(kernel, reason));
        }

        long denseBytes = tensor.DType.StorageBytes(tensor.Shape.ElementCount);
        string codes = context.Streams.Get(tensor, weight.Encoding, "codes", DType.U8, new Shape(weight.Rows, weight.BlockCount * weight.BlobBytes));
        string scales = context.Streams.Get(tensor, weight.Encoding, "scales", DType.F32, new Shape(weight.Rows, weight.BlockCount));
        string[] zeroPoints = weight.Symmetric ? [] : [context.Streams.Get(tensor, weight.Encoding, "zero-points", DType.U8, new Shape(weight.Rows, weight.ZeroPointBytes))];
        var gather = new Node
        {
            Name = node.Name,
            OpType = "GatherBlockQuantized",
            Domain = "com.microsoft",
            Inputs = [codes, node.Inputs[1], scales, .. zeroPoints],
            Outputs = node.Outputs,
            Attributes =
            [
                new NodeAttribute("bits", new AttributeValue.Int(weight.Bits)),
                new NodeAttribute("block_size", new AttributeValue.Int(weight.Block)),
                new NodeAttribute("gather_axis", new AttributeValue.Int(0)),
                new NodeAttribute("quantize_axis", new AttributeValue.Int(1)),
            ],
        };
        string memory = string.Create(CultureInfo.InvariantCulture, $"{denseBytes} bytes of dense table instead of {weight.KernelBytes}");
        return new NodeChoice(kernel, [gather], [new RejectedKernel(NodeChoice.Expand, memory)]);
    }

    private static string? WhyNot(Node node, Tensor tensor, BlockWeight weight) => true switch
    {
        _ when weight.Bits is not (4 or 8) => $"the operator has no {weight.Bits}-bit form that was verified",
        _ when weight.Transposed => "blocks run across the rows that are gathered",
        _ when weight.Block < 16 || (weight.Block & (weight.Block - 1)) != 0 => $"the operator takes blocks that are powers of two from 16 on, not {weight.Block}",
        _ when weight.Columns % weight.Block != 0 => "rows are not a multiple of the block",
        _ when tensor.DType != DType.F32 => $"the table is {tensor.DType.Name()}, the kernel is chosen for f32 only",
        _ when tensor.Shape.Rank != 2 || node.Int("axis", 0) is not (0 or -2) => "rows of a matrix are not what is gathered",
        _ when tensor.DType.StorageBytes(tensor.Shape.ElementCount) < MinDenseBytes => "slower per row than a dense table, and this one is small",
        _ => null,
    };
}
