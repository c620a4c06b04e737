using System.Collections.Immutable;
using System.Text.Json.Nodes;
using ModelPack.Architectures;
using ModelPack.Compiler;
using ModelPack.Passes;

namespace ModelPack.Toolchain;

/// <summary>Makes a checkpoint for loaders of compressed-tensors (vLLM, transformers) of one whose weights are compressed.</summary>
/// <remarks>Source: vllm-project/compressed-tensors, <c>quantization/quant_args.py</c>, <c>quant_config.py</c>, <c>compressors/</c>.</remarks>
internal static class CompressedTensorsExport
{
    private const string Suffix = ".weight";

    /// <summary>The checkpoint with its weights as runtimes load them, and the configuration that says so.</summary>
    /// <param name="model">A checkpoint without a graph.</param>
    /// <param name="inputs">How the input of a layer is rounded, by the name of its weight; where nothing says whether it is, that of 8-bit floats is.</param>
    /// <param name="others">What weights become whose encoding has no counterpart; null makes them an error.</param>
    /// <param name="warnings">Takes what a user should know.</param>
    /// <exception cref="ModelPackException">MP4115: what <paramref name="inputs"/> throws. MP4107: something has no counterpart, or layers that runtimes fuse differ. MP1500, MP1501: no config.json.</exception>
    public static Model Of(Model model, Func<string, RoundedInput> inputs, DType? others, List<string> warnings)
    {
        ModelConfig.Read(model.Files); // There must be one.
        var quantized = new SortedDictionary<string, QuantizedLinear>(StringComparer.Ordinal);
        var ignored = new SortedSet<string>(StringComparer.Ordinal);
        var tensors = ImmutableArray.CreateBuilder<Tensor>();
        string? refusal = null;
        bool constant = false;
        Tensor[] left = [.. model.Graph.Initializers.Where(t => QuantizedCheckpoints.IsActivationScale(t.Name))];
        foreach (Tensor tensor in model.Graph.Initializers.Except(left))
        {
            bool linear = LinearNames.IsLinear(tensor);
            string module = linear ? tensor.Name[..^Suffix.Length] : tensor.Name;
            if (Structured.IsRaw(tensor.Encoding, out DType stored))
            {
                _ = linear && ignored.Add(module);
                tensors.Add(tensor with { DType = stored });
                continue;
            }

            string reason = linear ? "runtimes do not load the output layer quantised" : "only matrices of linear layers are quantised in compressed-tensors";
            bool isHead = LinearNames.IsHead(module);
            if (linear && !isHead && QuantizedLinear.Of(tensor, inputs(tensor.Name), out reason) is QuantizedLinear found)
            {
                constant |= found.HasInputScale;
                quantized.Add(module, found);
                tensors.AddRange(found.Tensors);
                continue;
            }

            refusal ??= linear && !isHead ? $"'{tensor.Name}': {reason}" : null;
            DType dtype = others ?? throw new ModelPackException(ErrorCodes.ExportNotPossible, $"{reason}; --others {(tensor.DType == DType.F32 ? "f32" : "bf16")} writes such weights as plain numbers, 'quantize.ends=keep' keeps embeddings and output layers", tensor: tensor.Name);
            _ = linear && ignored.Add(module);
            tensors.Add(tensor with { DType = dtype });
        }

        if (quantized.Count == 0)
        {
            throw new ModelPackException(ErrorCodes.ExportNotPossible, refusal ?? "no weight of a linear layer is quantised, so there is nothing to write as compressed-tensors; --to safetensors writes plain weights");
        }

        CheckFused(quantized, ignored);
        CheckGlobals(quantized, warnings);
        if (left.Count(t => !t.Name.EndsWith(".input_scale", StringComparison.Ordinal) || !constant) is > 0 and int dropped)
        {
            warnings.Add($"{dropped} scales of activations and caches ('{left[0].Name}' ...) are left out: the schemes that are written have no use for them");
        }

        Model converted = model with { Graph = model.Graph with { Initializers = tensors.ToImmutable() } };
        return QuantizedConfig.With(converted, Configuration(quantized, ignored));
    }

    private static void CheckFused(SortedDictionary<string, QuantizedLinear> quantized, SortedSet<string> ignored)
    {
        foreach (IGrouping<string?, string> fused in quantized.Keys.Concat(ignored).GroupBy(FusedLayers.Key).Where(g => g.Key is not null))
        {
            string[] modules = [.. fused.Order(StringComparer.Ordinal)];
            string? Scheme(string module) => quantized.GetValueOrDefault(module)?.Scheme;
            if (Array.Find(modules, m => Scheme(m) != Scheme(modules[0])) is string other)
            {
                throw new ModelPackException(ErrorCodes.ExportNotPossible, $"is quantised differently than '{modules[0]}', with which runtimes compute it as one", tensor: other + Suffix);
            }

            if (Array.Find(modules, m => quantized.GetValueOrDefault(m)?.Global != quantized.GetValueOrDefault(modules[0])?.Global) is string unlike)
            {
                throw new ModelPackException(ErrorCodes.ExportNotPossible, $"has another scale of the whole tensor than '{modules[0]}', with which runtimes compute it as one; compile with quantize.share_scales=true", tensor: unlike + Suffix);
            }
        }
    }

    private static void CheckGlobals(SortedDictionary<string, QuantizedLinear> quantized, List<string> warnings)
    {
        int inexact = quantized.Values.Count(q => q.Global is string g && 1 / q.Divisor != float.Parse(g, System.Globalization.CultureInfo.InvariantCulture));
        if (inexact > 0)
        {
            warnings.Add($"the scales of {inexact} whole tensors are stored as reciprocals, which f32 does not hold exactly: values may differ by an ulp, codes and scales of blocks do not");
        }
    }

    private static JsonObject Configuration(SortedDictionary<string, QuantizedLinear> quantized, SortedSet<string> ignored)
    {
        var groups = new JsonObject();
        IGrouping<string, KeyValuePair<string, QuantizedLinear>>[] schemes = [.. quantized.GroupBy(q => q.Value.Scheme)];
        string[] formats = [.. schemes.Select(s => s.First().Value.Format).Distinct()];
        foreach (IGrouping<string, KeyValuePair<string, QuantizedLinear>> scheme in schemes)
        {
            QuantizedLinear first = scheme.First().Value;
            var group = new JsonObject();
            if (formats.Length > 1)
            {
                group["format"] = first.Format;
            }

            group["input_activations"] = first.Activations?.DeepClone();
            group["output_activations"] = null;
            group["targets"] = schemes.Length == 1 ? new JsonArray("Linear") : Texts(scheme.Select(s => s.Key));
            group["weights"] = first.Weights.DeepClone();
            groups[$"group_{groups.Count}"] = group;
        }

        return new JsonObject
        {
            ["config_groups"] = groups,
            ["format"] = formats.Length == 1 ? formats[0] : "mixed-precision",
            ["global_compression_ratio"] = null,
            ["ignore"] = Texts(ignored),
            ["kv_cache_scheme"] = null,
            ["quant_method"] = "compressed-tensors",
            ["quantization_status"] = "compressed",
            ["sparsity_config"] = new JsonObject(),
        };
    }

    private static JsonArray Texts(IEnumerable<string> texts) => [.. texts.Select(t => (JsonNode?)JsonValue.Create(t))];
}
