using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using ModelPack.Containers.Checkpoint;
using ModelPack.Passes;

namespace ModelPack.Toolchain;

/// <summary>Checkpoints with <c>quant_method</c> compressed-tensors.</summary>
/// <remarks>Source: vllm-project/compressed-tensors, <c>quantization/quant_args.py</c>, <c>quant_config.py</c>; vLLM, <c>compressed_tensors.py</c>.</remarks>
internal sealed class CompressedTensorsCheck(CheckpointFiles files, JsonObject section, string target, Findings findings, CancellationToken cancellation)
{
    private static readonly string[] GroupKeys = ["targets", "weights", "input_activations", "output_activations", "format"];

    private static readonly string[] ArgumentKeys =
        ["num_bits", "type", "symmetric", "group_size", "strategy", "block_structure", "dynamic", "actorder", "observer", "observer_kwargs", "scale_dtype", "zp_dtype"];

    private static readonly string[] Strategies = ["tensor", "channel", "group", "block", "token", "tensor_group", "attn_head"];

    private static readonly string[] Formats =
        ["dense", "int-quantized", "float-quantized", "naive-quantized", "pack-quantized", "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized", "mixed-precision"];

    private static readonly string[] Embeddings = ["embed_tokens", "wte", "wpe", "word_embeddings", "tok_embeddings"];

    private readonly List<(ModuleMatcher Targets, JsonObject Weights, JsonObject? Activations, string Format)> _groups = [];

    /// <summary>Runs the rules; fills in the shapes that quantised weights stand for, by module.</summary>
    public void Run(Dictionary<string, Shape> quantized)
    {
        CheckConfiguration();
        var ignore = new ModuleMatcher(CheckpointCheck.Texts(section["ignore"]));
        string[] modules = [.. Modules()];
        var schemes = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string module in modules)
        {
            cancellation.ThrowIfCancellationRequested();
            bool packed = files.Tensors.ContainsKey(module + ".weight_packed") || files.Tensors.ContainsKey(module + ".weight_scale");
            bool ignored = ignore.Match(module) is not null;
            int group = ignored ? -1 : _groups.FindIndex(g => g.Targets.Match(module) is not null);
            schemes[module] = group < 0 ? "none" : $"group {group}";
            if (group < 0 && packed)
            {
                findings.Error("ignored-but-quantized", ignored ? "is quantised, but 'ignore' says that it is not" : "is quantised, but no group has it as a target", module);
                quantized[module] = ShapeOf(module) ?? new Shape(1, 1);
            }
            else if (group >= 0)
            {
                CheckLayer(module, _groups[group].Weights, _groups[group].Format, quantized);
            }
        }

        CheckFused(modules, schemes);
        CheckIgnore(modules);
    }

    private void CheckConfiguration()
    {
        string format = CheckpointCheck.Text(section["format"]) ?? "";
        if (!Formats.Contains(format, StringComparer.Ordinal))
        {
            findings.Error("format-unknown", $"'format' is '{format}'");
        }

        if (section["sparsity_config"] is JsonObject sparsity && sparsity["targets"] is JsonArray { Count: > 0 } && target == "vllm")
        {
            findings.Error("sparsity-targets", "'sparsity_config' has targets, which vLLM refuses since 2026");
        }

        if (section["config_groups"] is not JsonObject groups || groups.Count == 0)
        {
            findings.Error("groups-missing", "there are no 'config_groups'");
            return;
        }

        foreach ((string name, JsonNode? node) in groups)
        {
            if (node is not JsonObject group)
            {
                findings.Error("groups-missing", $"'{name}' is not an object");
                continue;
            }

            foreach (string key in group.Select(k => k.Key).Where(k => !GroupKeys.Contains(k, StringComparer.Ordinal)))
            {
                findings.Error("unknown-key", $"'{name}.{key}' is not a key that loaders know: they refuse the model");
            }

            string own = CheckpointCheck.Text(group["format"]) ?? (format == "mixed-precision" ? "" : format);
            if (own is "" or "mixed-precision")
            {
                findings.Error("format-missing", $"'{name}' needs a format of its own where the whole is mixed-precision");
            }

            if (group["weights"] is JsonObject weights)
            {
                CheckArguments($"{name}.weights", weights);
                CheckArguments($"{name}.input_activations", group["input_activations"] as JsonObject);
                CheckKernel(name, weights, own);
                _groups.Add((new ModuleMatcher(CheckpointCheck.Texts(group["targets"])), weights, group["input_activations"] as JsonObject, own));
            }
        }
    }

    private void CheckArguments(string where, JsonObject? arguments)
    {
        if (arguments is null)
        {
            return;
        }

        foreach (string key in arguments.Select(k => k.Key).Where(k => !ArgumentKeys.Contains(k, StringComparer.Ordinal)))
        {
            findings.Error("unknown-key", $"'{where}.{key}' is not a key that loaders know: they refuse the model");
        }

        string strategy = CheckpointCheck.Text(arguments["strategy"]) ?? "";
        long? size = CheckpointCheck.Number(arguments["group_size"]);
        string? wrong = strategy switch
        {
            _ when CheckpointCheck.Text(arguments["type"]) is not ("int" or "float") => $"'type' is {arguments["type"]?.ToJsonString() ?? "missing"}",
            "" => "'strategy' is missing",
            _ when !Strategies.Contains(strategy, StringComparer.Ordinal) => $"'strategy' is '{strategy}'",
            "group" or "tensor_group" when size is null or <= 0 => $"strategy {strategy} needs a 'group_size'",
            "channel" when size is not (null or -1) => "strategy channel has no 'group_size'",
            "block" when arguments["block_structure"] is not JsonArray { Count: 2 } => "strategy block needs a 'block_structure' of two numbers",
            "token" when !IsDynamic(arguments) => "strategy token needs 'dynamic'",
            _ => null,
        };
        if (wrong is not null)
        {
            findings.Error("arguments-invalid", $"'{where}': {wrong}");
        }
    }

    private static bool IsDynamic(JsonObject arguments) => arguments["dynamic"] is JsonValue value && ((value.TryGetValue(out bool flag) && flag) || (value.TryGetValue(out string? text) && text is "local" or "true"));

    private void CheckKernel(string name, JsonObject weights, string format)
    {
        if (target == "vllm" && format == "pack-quantized" && CheckpointCheck.Number(weights["num_bits"]) is not (4 or 8))
        {
            findings.Error("bits-unsupported", $"'{name}': vLLM has packed integers of 4 and 8 bits alone");
        }
    }

    private IEnumerable<string> Modules() => files.Tensors.Values
        .Where(t => t.Shape.Rank == 2)
        .Select(t => (t.Name, Dot: t.Name.LastIndexOf('.')))
        .Where(t => t.Dot > 0 && t.Name[(t.Dot + 1)..] is "weight" or "weight_packed")
        .Select(t => t.Name[..t.Dot])
        .Concat(files.Tensors.Keys.Where(n => n.EndsWith(".weight_scale", StringComparison.Ordinal)).Select(n => n[..^".weight_scale".Length]))
        .Distinct(StringComparer.Ordinal)
        .Where(m => !Embeddings.Contains(m[(m.LastIndexOf('.') + 1)..], StringComparer.Ordinal))
        .Order(StringComparer.Ordinal);

    private Shape? ShapeOf(string module)
    {
        if (files.Tensors.GetValueOrDefault(module + ".weight_shape") is CheckedTensor { DType: DType.I64, Data.LengthBytes: 16 } declared)
        {
            ReadOnlySpan<long> sizes = MemoryMarshal.Cast<byte, long>(declared.Data.ToArray());
            return sizes[0] > 0 && sizes[1] > 0 ? new Shape(sizes) : null;
        }

        return files.Tensors.GetValueOrDefault(module + ".weight") is CheckedTensor weight ? weight.Shape
            : files.Tensors.GetValueOrDefault(module + ".weight_packed") is CheckedTensor { DType: DType.U8, Shape.Rank: 2 } packed ? new Shape(packed.Shape[0], packed.Shape[1] * 2)
            : null;
    }

    private void CheckLayer(string module, JsonObject weights, string format, Dictionary<string, Shape> quantized)
    {
        bool packedForm = format.Contains("pack", StringComparison.Ordinal);
        string codes = module + (packedForm ? ".weight_packed" : ".weight");
        if (files.Tensors.GetValueOrDefault(codes) is not CheckedTensor weight)
        {
            findings.Error("tensor-missing", $"{format} needs it", codes);
            return;
        }

        Shape? declared = ShapeOf(module);
        if (format == "pack-quantized" && (declared is null || !files.Tensors.ContainsKey(module + ".weight_shape")))
        {
            findings.Error("tensor-missing", $"{format} needs it as two 64-bit integers", module + ".weight_shape");
        }

        if (declared is not Shape shape || shape.Rank != 2)
        {
            return;
        }

        quantized[module] = shape;
        long bits = CheckpointCheck.Number(weights["num_bits"]) ?? 0;
        (DType type, long columns) = format switch
        {
            "pack-quantized" => (DType.I32, ((shape[1] * bits) + 31) / 32),
            "nvfp4-pack-quantized" or "mxfp4-pack-quantized" => (DType.U8, shape[1] / 2),
            "int-quantized" => (DType.I8, shape[1]),
            _ => (DType.F8E4M3FN, shape[1]),
        };
        Expect(weight, type, new Shape(shape[0], columns), "codes-mismatch");
        CheckScales(module, shape, weights, format);
        bool symmetric = weights["symmetric"] is not JsonValue flag || !flag.TryGetValue(out bool value) || value;
        string zeros = module + ".weight_zero_point";
        if (symmetric && files.Tensors.ContainsKey(zeros))
        {
            findings.Error("zero-point-symmetric", "zero points of a symmetric scheme are an error in vLLM", zeros);
        }
        else if (!symmetric && !files.Tensors.ContainsKey(zeros))
        {
            findings.Error("tensor-missing", "an asymmetric scheme needs it", zeros);
        }
    }

    private void CheckScales(string module, Shape shape, JsonObject weights, string format)
    {
        string name = module + ".weight_scale";
        if (files.Tensors.GetValueOrDefault(name) is not CheckedTensor scales)
        {
            findings.Error("tensor-missing", $"{format} needs it", name);
            return;
        }

        string strategy = CheckpointCheck.Text(weights["strategy"]) ?? "";
        long size = CheckpointCheck.Number(weights["group_size"]) is > 0 and long given ? given : shape[1];
        if (strategy is "group" or "tensor_group" && shape[1] % size != 0)
        {
            findings.Error("group-ragged", $"rows of {shape[1]} are no whole groups of {size}", module);
            return;
        }

        Shape expected = strategy switch
        {
            "tensor" => new Shape(1),
            "channel" => new Shape(shape[0], 1),
            "block" when weights["block_structure"] is JsonArray { Count: 2 } block && CheckpointCheck.Number(block[0]) is > 0 and long down && CheckpointCheck.Number(block[1]) is > 0 and long across =>
                new Shape((shape[0] + down - 1) / down, (shape[1] + across - 1) / across),
            _ => new Shape(shape[0], shape[1] / size),
        };
        if (scales.Shape != expected && scales.Shape.TryElementCount(out long count) && !(strategy == "tensor" && count == 1))
        {
            findings.Error("scale-mismatch", $"has the shape {scales.Shape}, but {strategy} scales of {shape} are {expected}", name);
        }

        string? wrong = format switch
        {
            "nvfp4-pack-quantized" when scales.DType != DType.F8E4M3FN => "F8_E4M3",
            "mxfp4-pack-quantized" or "mxfp8-quantized" when scales.DType != DType.U8 => "U8",
            "pack-quantized" or "int-quantized" or "float-quantized" or "naive-quantized" when scales.DType is not (DType.F32 or DType.F16 or DType.BF16) => "F32, F16 or BF16",
            _ => null,
        };
        if (wrong is not null)
        {
            findings.Error("scale-dtype", $"is {scales.DType.Name()}; {format} has scales of {wrong}", name);
        }

        if (format == "nvfp4-pack-quantized")
        {
            CheckGlobal(module);
        }
    }

    private void CheckGlobal(string module)
    {
        string name = module + ".weight_global_scale";
        if (files.Tensors.GetValueOrDefault(name) is not CheckedTensor global)
        {
            findings.Error("tensor-missing", "nvfp4 needs it", name);
        }
        else if (global.DType != DType.F32 || global.Shape.ElementCount != 1)
        {
            findings.Error("scale-mismatch", $"is {global.DType.Name()}{global.Shape}, not one F32", name);
        }
        else if (BitConverter.ToSingle(global.Data.ToArray()) is > 0 and < 1)
        {
            // 448 * 6 / amax: below 1 the weights would be larger than 2688.
            findings.Warning("global-scale-inverted", "is below 1: compressed-tensors divides by it, other formats multiply", name);
        }
    }

    private void CheckFused(string[] modules, Dictionary<string, string> schemes)
    {
        foreach (IGrouping<string?, string> fused in modules.GroupBy(FusedLayers.Key).Where(g => g.Key is not null))
        {
            string first = fused.First();
            if (fused.FirstOrDefault(m => schemes[m] != schemes[first]) is string other)
            {
                findings.Error("fused-scheme", $"is quantised differently than '{first}', with which runtimes compute it as one", other);
            }

            if (Global(first) is float global && fused.FirstOrDefault(m => Global(m) is float another && another != global) is string unlike)
            {
                findings.Error("fused-global-scale", $"has another global scale than '{first}': runtimes take the larger one for both", unlike + ".weight_global_scale");
            }
        }

        float? Global(string module) => files.Tensors.GetValueOrDefault(module + ".weight_global_scale") is CheckedTensor { DType: DType.F32, Data.LengthBytes: 4 } tensor ? BitConverter.ToSingle(tensor.Data.ToArray()) : null;
    }

    private void CheckIgnore(string[] modules)
    {
        foreach (string pattern in CheckpointCheck.Texts(section["ignore"]))
        {
            var matcher = new ModuleMatcher([pattern]);
            if (!Array.Exists(modules, m => matcher.Match(m) is not null))
            {
                string hint = pattern.EndsWith(".weight", StringComparison.Ordinal) ? ": names of modules do not end in .weight" : "";
                findings.Warning("ignore-unmatched", $"'{pattern}' in 'ignore' matches no linear layer{hint}");
            }
        }
    }

    private void Expect(CheckedTensor tensor, DType type, Shape shape, string rule)
    {
        if (tensor.DType != type || tensor.Shape != shape)
        {
            findings.Error(rule, $"is {tensor.DType.Name()}{tensor.Shape}, not {type.Name()}{shape}", tensor.Name);
        }
    }
}
