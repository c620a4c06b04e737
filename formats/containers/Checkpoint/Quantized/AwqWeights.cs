using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Containers.Checkpoint;

/// <summary>
/// Checkpoints of AWQ (version gemm): <c>qweight</c> i32 [in, out / 8] and <c>qzeros</c> i32 [groups, out / 8] with 4-bit codes packed along the outputs in the order 0 2 4 6 1 3 5 7, <c>scales</c> [groups, out].
/// </summary>
/// <remarks>Source: AutoAWQ, <c>awq/modules/linear/gemm.py</c>, <c>awq/utils/packing_utils.py</c>.</remarks>
internal static class AwqWeights
{
    private const int Bits = 4;
    private const int PerWord = 8;

    private static readonly string[] Parts = [".qweight", ".qzeros", ".scales"];

    public static ImmutableArray<Tensor> Join(QuantizedTensors tensors, QuantizationSection section)
    {
        section.Int(section.Json, section.Json["bits"] is null ? "w_bit" : "bits", null, Bits);
        int groupSize = section.Int(section.Json, section.Json["group_size"] is null ? "q_group_size" : "group_size", 128);
        if (section.Text("version") is string version && !version.Equals("gemm", StringComparison.OrdinalIgnoreCase))
        {
            throw section.Wrong($"'version' is '{version}'; gemm is read");
        }

        bool zeroPoints = section.Flag(section.Json, "zero_point", true);
        foreach (Tensor codes in tensors.All.Where(t => t.Name.EndsWith(".qweight", StringComparison.Ordinal)))
        {
            string module = codes.Name[..^".qweight".Length];
            if (codes.DType != DType.I32 || codes.Shape.Rank != 2)
            {
                throw tensors.Misfit(codes, "a matrix of i32 words");
            }

            var shape = new Shape(codes.Shape[1] * PerWord, codes.Shape[0]);
            int columns = checked((int)shape[1]);
            int group = groupSize > 0 ? groupSize : columns;
            int count = (columns + group - 1) / group;
            TensorData words = tensors.Data(codes, DType.I32, codes.Shape);
            Tensor scales = tensors.Need($"{module}.scales", $"'{codes.Name}'");
            TensorData scaleData = tensors.Scales(scales, new Shape(count, shape[0]));
            Tensor? zeros = zeroPoints ? tensors.Need($"{module}.qzeros", $"'{codes.Name}'") : tensors.Find($"{module}.qzeros");
            TensorData? zeroCodes = zeros is null ? null : CodeData.TurnedCodes(tensors.Data(zeros, DType.I32, new Shape(count, codes.Shape[1])), count, shape[0], Bits, awq: true);
            Tensor weight = QuantizedTensors.Integers($"{module}.weight", new IntegerParts(
                shape,
                Bits,
                group,
                count,
                CodeData.TurnedCodes(words, columns, shape[0], Bits, awq: true),
                CodeData.Transposed(scaleData, count, shape[0], scales.DType == DType.F32 ? 4 : 2),
                scales.DType,
                zeroCodes,
                null));
            tensors.Join(weight, codes, zeros, scales);
        }

        return tensors.Result(name => Array.Exists(Parts, p => name.EndsWith(p, StringComparison.Ordinal)));
    }
}
