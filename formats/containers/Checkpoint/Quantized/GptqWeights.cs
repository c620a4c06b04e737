using System.Collections.Immutable;
using System.Text.Json.Nodes;
using ModelPack.Compiler;

namespace ModelPack.Containers.Checkpoint;

/// <summary>
/// Checkpoints of GPTQ: <c>qweight</c> i32 [in · bits / 32, out] with codes packed down the inputs, <c>qzeros</c> i32 [groups, out · bits / 32] with zero codes packed along the outputs (one less in the first version of
/// the format), <c>scales</c> [groups, out], <c>g_idx</c> i32 [in]. They become <c>int2</c> to <c>int8</c>; groups in the order of activations become values.
/// </summary>
/// <remarks>
/// Source: GPTQModel, <c>nn_modules/qlinear</c>, <c>quantization/config.py</c>. The words of 3 bits that its <c>pack</c> writes out one by one are the bits of consecutive codes, low bits first, as those of all other widths.
/// </remarks>
internal static class GptqWeights
{
    private static readonly string[] Parts = [".qweight", ".qzeros", ".scales", ".g_idx"];

    public static ImmutableArray<Tensor> Join(QuantizedTensors tensors, QuantizationSection section)
    {
        int bits = section.Int(section.Json, "bits", null, 2, 3, 4, 8);
        int groupSize = section.Int(section.Json, "group_size", 128);
        bool symmetric = section.Flag(section.Json, "sym", true);
        int less = section.Text("checkpoint_format") switch
        {
            null or "gptq" => 1,
            "gptq_v2" => 0,
            string other => throw section.Wrong($"'checkpoint_format' is '{other}'; gptq and gptq_v2 are read"),
        };
        if (section.Json["dynamic"] is JsonObject { Count: > 0 } rules && rules.Any(r => r.Key.StartsWith('+') || (!r.Key.StartsWith('-') && r.Value is JsonObject { Count: > 0 })))
        {
            throw section.Wrong("'dynamic' gives some layers other widths, which is not read");
        }

        foreach (Tensor codes in tensors.All.Where(t => t.Name.EndsWith(".qweight", StringComparison.Ordinal)))
        {
            string module = codes.Name[..^".qweight".Length];
            if (codes.DType != DType.I32 || codes.Shape.Rank != 2 || codes.Shape[0] * 32 % bits != 0)
            {
                throw tensors.Misfit(codes, "a matrix of i32 words");
            }

            var shape = new Shape(codes.Shape[1], codes.Shape[0] * 32 / bits);
            int columns = checked((int)shape[1]);
            int group = groupSize > 0 ? groupSize : columns;
            int count = (columns + group - 1) / group;
            TensorData words = tensors.Data(codes, DType.I32, codes.Shape);
            Tensor scales = tensors.Need($"{module}.scales", $"'{codes.Name}'");
            Tensor zeros = tensors.Need($"{module}.qzeros", $"'{codes.Name}'");
            TensorData zeroWords = tensors.Data(zeros, DType.I32, new Shape(count, CodeData.WordBytes(shape[0], bits) / 4));
            bool centred = Zeros(tensors, zeros, zeroWords, count, shape[0], bits, less);
            if (symmetric && !centred)
            {
                throw tensors.Wrong(zeros, $"holds other zero points than 'sym' and 'checkpoint_format' '{(less == 1 ? "gptq" : "gptq_v2")}' mean");
            }

            TensorData scaleData = tensors.Scales(scales, new Shape(count, shape[0]));
            int scaleBytes = scales.DType == DType.F32 ? 4 : 2;
            Tensor? order = tensors.Find($"{module}.g_idx");
            int[]? groups = order is null ? null : Order(tensors, order, DequantizedData.Groups(tensors.Data(order, DType.I32, new Shape(columns))), group, count);
            Tensor weight = QuantizedTensors.Integers($"{module}.weight", new IntegerParts(
                shape,
                bits,
                group,
                count,
                CodeData.Transposed(words, codes.Shape[0], codes.Shape[1], 4),
                CodeData.Transposed(scaleData, count, shape[0], scaleBytes),
                scales.DType,
                centred ? null : CodeData.TurnedCodes(zeroWords, count, shape[0], bits, add: less),
                groups));
            tensors.Join(weight, codes, zeros, scales, order);
        }

        return tensors.Result(name => Array.Exists(Parts, p => name.EndsWith(p, StringComparison.Ordinal)));
    }

    /// <summary>The group of every input; null when they follow each other.</summary>
    internal static int[]? Order(QuantizedTensors tensors, Tensor order, int[] groups, int group, int count)
    {
        if (groups.Any(g => g < 0 || g >= count))
        {
            throw tensors.Wrong(order, $"names a group that is not one of the {count}");
        }

        return groups.Where((g, k) => g != k / group).Any() ? groups : null;
    }

    /// <summary>Whether all zero codes are 2^(bits - 1).</summary>
    private static bool Zeros(QuantizedTensors tensors, Tensor zeros, TensorData words, long groups, long outputs, int bits, int less)
    {
        long rowBytes = CodeData.WordBytes(outputs, bits);
        byte[] row = new byte[rowBytes];
        int mask = (1 << bits) - 1;
        int centre = (1 << (bits - 1)) - less;
        bool centred = true;
        for (long g = 0; g < groups; g++)
        {
            words.Read(g * rowBytes, row);
            for (long n = 0; n < outputs; n++)
            {
                int stored = CodeData.Get(row, n * bits, mask);
                if (stored + less > mask)
                {
                    throw tensors.Wrong(zeros, $"stores the zero point {stored} for group {g} of output {n}, which is {stored + less} to some runtimes and 0 to others");
                }

                centred &= stored == centre;
            }
        }

        return centred;
    }
}
