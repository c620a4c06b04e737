using System.Text.Json.Nodes;

namespace ModelPack.Toolchain;

/// <summary>Checkpoints with <c>quant_method</c> fp8: blocks with <c>weight_scale_inv</c>, or one scale per tensor.</summary>
/// <remarks>Source: transformers, <c>FineGrainedFP8Config</c>; vLLM, <c>fp8.py</c>.</remarks>
internal static class Fp8Check
{
    private const string Suffix = ".weight";

    public static void Run(CheckpointFiles files, JsonObject section, string target, Findings findings, Dictionary<string, Shape> quantized)
    {
        bool blocks = section["weight_block_size"] is not null;
        (long Down, long Across)? block = section["weight_block_size"] is JsonArray { Count: 2 } size && CheckpointCheck.Number(size[0]) is > 0 and long down && CheckpointCheck.Number(size[1]) is > 0 and long across ? (down, across) : null;
        if (blocks && block is null)
        {
            findings.Error("block-size", $"'weight_block_size' is {section["weight_block_size"]!.ToJsonString()}, not two numbers above 0");
        }

        if (blocks && CheckpointCheck.Text(section["activation_scheme"]) != "dynamic")
        {
            findings.Error("activation-scheme", "'weight_block_size' needs 'activation_scheme' dynamic");
        }

        string list = target == "vllm" ? "ignored_layers" : "modules_to_not_convert";
        string[] kept = CheckpointCheck.Texts(section[list]);
        foreach (CheckedTensor weight in files.Tensors.Values.Where(t => t.Name.EndsWith(Suffix, StringComparison.Ordinal) && t.Shape.Rank == 2))
        {
            string module = weight.Name[..^Suffix.Length];
            if (weight.DType != DType.F8E4M3FN)
            {
                bool linear = !module.EndsWith("embed_tokens", StringComparison.Ordinal);
                if (linear && !Array.Exists(kept, k => k == module || module.EndsWith("." + k, StringComparison.Ordinal)) && !(module == "lm_head" && section[list] is null))
                {
                    findings.Error("ignore-missing", $"is {weight.DType.Name()}, but not among '{list}': {target} takes it for FP8", weight.Name);
                }

                continue;
            }

            quantized[module] = weight.Shape;
            if (kept.Contains(module, StringComparer.Ordinal))
            {
                findings.Error("ignored-but-quantized", $"is FP8, but '{list}' says that it is not", weight.Name);
            }

            CheckScales(files, weight, block, findings);
        }

        foreach (string name in files.Tensors.Keys.Where(n => n.EndsWith(".weight_scale_inv", StringComparison.Ordinal) && !quantized.ContainsKey(n[..^".weight_scale_inv".Length])))
        {
            findings.Error("tensor-missing", "has no FP8 weight", name);
        }
    }

    private static void CheckScales(CheckpointFiles files, CheckedTensor weight, (long Down, long Across)? block, Findings findings)
    {
        string name = weight.Name + (block is null ? "_scale" : "_scale_inv");
        if (files.Tensors.GetValueOrDefault(name) is not CheckedTensor scales)
        {
            findings.Error("tensor-missing", "an FP8 weight without its scales is read as numbers that are far too large", name);
            return;
        }

        if (scales.DType != DType.F32)
        {
            findings.Error("scale-dtype", $"is {scales.DType.Name()}, not F32", name);
        }

        if (block is var (down, across))
        {
            var expected = new Shape((weight.Shape[0] + down - 1) / down, (weight.Shape[1] + across - 1) / across);
            if (scales.Shape != expected)
            {
                findings.Error("scale-mismatch", $"has the shape {scales.Shape}, but {weight.Shape} in blocks of {down}x{across} needs {expected}", name);
            }
        }
        else if (scales.Shape.ElementCount != 1)
        {
            findings.Error("scale-mismatch", $"has the shape {scales.Shape}, not one number", name);
        }
    }
}
