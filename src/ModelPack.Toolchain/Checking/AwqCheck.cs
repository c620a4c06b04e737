using System.Text.Json.Nodes;

namespace ModelPack.Toolchain;

/// <summary>Checkpoints with <c>quant_method</c> awq: codes [in, out / 8] packed along the outputs in AWQ's order.</summary>
/// <remarks>Source: AutoAWQ, <c>modules/linear/gemm.py</c>.</remarks>
internal static class AwqCheck
{
    public static void Run(CheckpointFiles files, JsonObject section, Findings findings, Dictionary<string, Shape> quantized)
    {
        if (CheckpointCheck.Number(section["bits"] ?? section["w_bit"]) != 4)
        {
            findings.Error("bits-unsupported", "runtimes have AWQ in 4 bits alone");
            return;
        }

        if (CheckpointCheck.Text(section["version"]) is string version && !version.Equals("gemm", StringComparison.OrdinalIgnoreCase))
        {
            findings.Error("format-marker", $"'version' is '{version}': runtimes read the order of nibbles of gemm");
        }

        long group = CheckpointCheck.Number(section["group_size"] ?? section["q_group_size"]) ?? 0;
        foreach (CheckedTensor codes in files.Tensors.Values.Where(t => t.Name.EndsWith(".qweight", StringComparison.Ordinal) && t.Shape.Rank == 2))
        {
            string module = codes.Name[..^".qweight".Length];
            long inputs = codes.Shape[0];
            long outputs = codes.Shape[1] * 8;
            long size = group > 0 ? group : inputs;
            quantized[module] = new Shape(outputs, inputs);
            if (inputs % size != 0)
            {
                findings.Error("group-ragged", $"{inputs} inputs are no whole groups of {size}", module);
                continue;
            }

            PackedTensors.Expect(files, $"{module}.scales", DType.F16, new Shape(inputs / size, outputs), "scale-mismatch", findings);
            PackedTensors.Expect(files, $"{module}.qzeros", DType.I32, new Shape(inputs / size, outputs / 8), "codes-mismatch", findings);
        }
    }
}

/// <summary>Tensors that formats packed along the inputs need beside the codes.</summary>
internal static class PackedTensors
{
    public static void Expect(CheckpointFiles files, string name, DType type, Shape shape, string rule, Findings findings)
    {
        if (files.Tensors.GetValueOrDefault(name) is not CheckedTensor tensor)
        {
            findings.Error("tensor-missing", "the format needs it", name);
        }
        else if (tensor.DType != type || tensor.Shape != shape)
        {
            findings.Error(rule, $"is {tensor.DType.Name()}{tensor.Shape}, not {type.Name()}{shape}", name);
        }
    }
}
