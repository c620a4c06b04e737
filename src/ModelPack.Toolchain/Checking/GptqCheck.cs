using System.Runtime.InteropServices;
using System.Text.Json.Nodes;

namespace ModelPack.Toolchain;

/// <summary>Checkpoints with <c>quant_method</c> gptq: codes [in · bits / 32, out] packed along the inputs.</summary>
/// <remarks>Source: GPTQModel, <c>nn_modules/qlinear</c>.</remarks>
internal static class GptqCheck
{
    public static void Run(CheckpointFiles files, JsonObject section, Findings findings, Dictionary<string, Shape> quantized)
    {
        long bits = CheckpointCheck.Number(section["bits"]) ?? 0;
        long group = CheckpointCheck.Number(section["group_size"]) ?? 0;
        if (bits is not (2 or 3 or 4 or 8))
        {
            findings.Error("arguments-invalid", $"'bits' is {section["bits"]?.ToJsonString() ?? "missing"}");
            return;
        }

        foreach (CheckedTensor codes in files.Tensors.Values.Where(t => t.Name.EndsWith(".qweight", StringComparison.Ordinal)))
        {
            string module = codes.Name[..^".qweight".Length];
            if (codes.DType != DType.I32 || codes.Shape.Rank != 2)
            {
                findings.Error("codes-mismatch", $"is {codes.DType.Name()}{codes.Shape}, not a matrix of I32", codes.Name);
                continue;
            }

            long inputs = codes.Shape[0] * 32 / bits;
            long outputs = codes.Shape[1];
            long size = group > 0 ? group : inputs;
            quantized[module] = new Shape(outputs, inputs);
            PackedTensors.Expect(files, $"{module}.scales", DType.F16, new Shape((inputs + size - 1) / size, outputs), "scale-mismatch", findings);
            PackedTensors.Expect(files, $"{module}.qzeros", DType.I32, new Shape((inputs + size - 1) / size, outputs * bits / 32), "codes-mismatch", findings);
            if (section["desc_act"]?.ToJsonString() == "true")
            {
                PackedTensors.Expect(files, $"{module}.g_idx", DType.I32, new Shape(inputs), "codes-mismatch", findings);
            }

            CheckZeros(files, module, section, bits, findings);
        }
    }

    /// <summary>Symmetric weights have the zero code 2^(bits - 1), stored one less in the first version of the format: the declaration and the bytes must say the same.</summary>
    private static void CheckZeros(CheckpointFiles files, string module, JsonObject section, long bits, Findings findings)
    {
        if (bits != 4 || section["sym"]?.ToJsonString() != "true" || files.Tensors.GetValueOrDefault($"{module}.qzeros") is not CheckedTensor { DType: DType.I32 } zeros)
        {
            return;
        }

        bool second = CheckpointCheck.Text(section["checkpoint_format"]) == "gptq_v2";
        uint expected = second ? 0x88888888 : 0x77777777;
        uint[] words = MemoryMarshal.Cast<byte, uint>(zeros.Data.Slice(0, Math.Min(zeros.Data.LengthBytes, 1 << 16)).ToArray()).ToArray();
        if (Array.TrueForAll(words, w => w == (second ? 0x77777777u : 0x88888888u)))
        {
            findings.Error("format-marker", $"holds 0x{words[0]:X8}, which is what the other version of the format stores; 'checkpoint_format' must be '{(second ? "gptq" : "gptq_v2")}'", zeros.Name);
        }
        else if (!Array.TrueForAll(words, w => w == expected))
        {
            findings.Warning("zero-point-symmetric", "holds other zero points than 'sym' means", zeros.Name);
        }
    }
}
