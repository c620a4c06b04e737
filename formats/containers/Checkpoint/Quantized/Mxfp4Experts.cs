using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Containers.Checkpoint;

/// <summary>
/// Experts of gpt-oss: <c>x_blocks</c> u8 [experts, out, in / 32, 16] with the codes of MXFP4, even inputs in low nibbles, and <c>x_scales</c> u8 [experts, out, in / 32]. They become <c>x</c> [experts, in, out], as plain checkpoints
/// of the model have it.
/// </summary>
/// <remarks>Source: openai/gpt-oss, <c>gpt_oss/torch/weights.py</c>; transformers, <c>integrations/mxfp4.py</c>.</remarks>
internal static class Mxfp4Experts
{
    private const int Group = 32;

    public static ImmutableArray<Tensor> Join(QuantizedTensors tensors)
    {
        foreach (Tensor blocks in tensors.All.Where(t => t.Name.EndsWith("_blocks", StringComparison.Ordinal)))
        {
            string name = blocks.Name[..^"_blocks".Length];
            if (blocks.DType != DType.U8 || blocks.Shape.Rank != 4 || blocks.Shape[3] != Group / 2)
            {
                throw tensors.Misfit(blocks, $"u8 [experts, out, in / {Group}, {Group / 2}]");
            }

            Tensor scales = tensors.Need($"{name}_scales", $"'{blocks.Name}'");
            TensorData exponents = tensors.Data(scales, DType.U8, new Shape(blocks.Shape[0], blocks.Shape[1], blocks.Shape[2]));
            var shape = new Shape(blocks.Shape[0], blocks.Shape[1], blocks.Shape[2] * Group);
            Tensor stored = QuantizedTensors.Weight(
                name, DType.BF16, shape, new UnitSpec("mxfp4", ("mode", "floor")), new EncodedStream("codes", tensors.Data(blocks, DType.U8, blocks.Shape)), new EncodedStream("scales", exponents));
            WeightEncoding turned = Structured.Permute(stored.Encoding, [0, 2, 1]);
            tensors.Join(stored with { Shape = turned.Shape, Encoding = turned }, blocks, scales);
        }

        return tensors.Result(name => name.EndsWith("_blocks", StringComparison.Ordinal) || name.EndsWith("_proj_scales", StringComparison.Ordinal));
    }
}
