using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using ModelPack.Architectures;
using ModelPack.Compiler;
using ModelPack.Passes;

namespace ModelPack.Toolchain;

/// <summary>Makes a checkpoint in the layout of GPTQ or AWQ of one whose weights are integers: vLLM, transformers and SGLang load both.</summary>
/// <remarks>Source: GPTQModel, <c>quantization/config.py</c>; AutoAWQ, <c>models/_config.py</c>.</remarks>
internal static class PackedIntegersExport
{
    private const string Suffix = ".weight";

    /// <summary>The checkpoint with its weights as runtimes load them, and the configuration that says so.</summary>
    /// <param name="model">A checkpoint without a graph.</param>
    /// <param name="awq">AWQ, else GPTQ.</param>
    /// <param name="others">What weights become that the layout does not have; null makes them an error.</param>
    /// <param name="warnings">Takes what a user should know.</param>
    /// <exception cref="ModelPackException">MP4107: something has no counterpart, or layers differ where they must not. MP1500, MP1501: no config.json.</exception>
    public static Model Of(Model model, bool awq, DType? others, List<string> warnings)
    {
        ModelConfig.Read(model.Files); // There must be one.
        string layout = awq ? "AWQ" : "GPTQ";
        var cache = new BandCache();
        var layers = new SortedDictionary<string, PackedLinear>(StringComparer.Ordinal);
        var plain = new SortedSet<string>(StringComparer.Ordinal);
        var tensors = new List<(Tensor? Plain, PackedLinear? Packed)>();
        string? refusal = null;
        foreach (Tensor tensor in model.Graph.Initializers.Where(t => !QuantizedCheckpoints.IsActivationScale(t.Name)))
        {
            bool linear = LinearNames.IsLinear(tensor);
            string module = linear ? tensor.Name[..^Suffix.Length] : tensor.Name;
            if (Structured.IsRaw(tensor.Encoding, out DType stored))
            {
                _ = linear && !LinearNames.IsHead(module) && plain.Add(module);
                tensors.Add((tensor with { DType = stored }, null));
                continue;
            }

            string reason = $"only matrices of linear layers but the last are quantised in checkpoints of {layout}";
            if (linear && !LinearNames.IsHead(module) && PackedLinear.Of(tensor, awq, cache, out reason) is PackedLinear found)
            {
                CheckSame(layers, tensor, found, layout);
                layers.Add(module, found);
                tensors.Add((null, found));
                continue;
            }

            refusal ??= linear && !LinearNames.IsHead(module) ? $"'{tensor.Name}': {reason}" : null;
            DType dtype = others ?? throw new ModelPackException(ErrorCodes.ExportNotPossible, $"{reason}; --others {(tensor.DType == DType.F32 ? "f32" : "bf16")} writes such weights as plain numbers, 'quantize.ends=keep' keeps embeddings and output layers", tensor: tensor.Name);
            _ = linear && !LinearNames.IsHead(module) && plain.Add(module);
            tensors.Add((tensor with { DType = dtype }, null));
        }

        if (layers.Count == 0)
        {
            throw new ModelPackException(ErrorCodes.ExportNotPossible, refusal ?? $"no weight of a linear layer is quantised, so there is nothing to write as {layout}; --to safetensors writes plain weights");
        }

        CheckFused(layers, plain);
        bool second = !awq && layers.Values.Any(l => l.HasZeroAtZero());
        if (second)
        {
            warnings.Add("zero points of 0 are there, which the first version of GPTQ's format does not have: 'checkpoint_format' is gptq_v2, which older loaders do not read");
        }

        int less = second ? 0 : 1;
        Model converted = model with
        {
            Graph = model.Graph with { Initializers = [.. tensors.SelectMany(t => t.Plain is Tensor one ? [one] : awq ? t.Packed!.Awq() : t.Packed!.Gptq(less))] },
        };
        JsonObject section = awq ? AwqSection(layers, plain) : GptqSection(layers, plain, second);
        return QuantizedConfig.With(converted, section, awq ? "quant_config.json" : "quantize_config.json");
    }

    /// <summary>One declaration holds for all layers.</summary>
    private static void CheckSame(SortedDictionary<string, PackedLinear> layers, Tensor tensor, PackedLinear found, string layout)
    {
        if (layers.Values.FirstOrDefault() is PackedLinear first && (first.Bits != found.Bits || first.GroupSize != found.GroupSize))
        {
            static string Show(PackedLinear l) => FormattableString.Invariant($"{l.Bits} bits in groups of {(l.GroupSize < 0 ? "whole rows" : l.GroupSize)}");
            throw new ModelPackException(ErrorCodes.ExportNotPossible, $"has {Show(found)} and others {Show(first)}: {layout} has one of each for all layers", tensor: tensor.Name);
        }
    }

    private static void CheckFused(SortedDictionary<string, PackedLinear> layers, SortedSet<string> plain)
    {
        foreach (IGrouping<string?, string> fused in layers.Keys.Concat(plain).GroupBy(FusedLayers.Key).Where(g => g.Key is not null))
        {
            string[] modules = [.. fused.Order(StringComparer.Ordinal)];
            if (Array.Find(modules, m => layers.ContainsKey(m) != layers.ContainsKey(modules[0])) is string other)
            {
                throw new ModelPackException(ErrorCodes.ExportNotPossible, $"is quantised differently than '{modules[0]}', with which runtimes compute it as one", tensor: other + Suffix);
            }
        }
    }

    private static JsonObject GptqSection(SortedDictionary<string, PackedLinear> layers, SortedSet<string> plain, bool second)
    {
        PackedLinear first = layers.Values.First();
        var section = new JsonObject
        {
            ["bits"] = first.Bits,
            ["checkpoint_format"] = second ? "gptq_v2" : "gptq",
            ["desc_act"] = false,
            ["group_size"] = first.GroupSize,
            ["lm_head"] = false,
            ["meta"] = new JsonObject { ["quantizer"] = new JsonArray(ArtifactContent.ToolVersion.Replace(' ', ':')) },
            ["pack_dtype"] = "int32",
            ["quant_method"] = "gptq",
            ["sym"] = layers.Values.All(l => l.Symmetric),
        };
        if (plain.Count > 0)
        {
            var rules = new JsonObject();
            foreach (string module in plain)
            {
                rules[$"-:^{Regex.Escape(module)}$"] = new JsonObject();
            }

            section["dynamic"] = rules;
        }

        return section;
    }

    private static JsonObject AwqSection(SortedDictionary<string, PackedLinear> layers, SortedSet<string> plain) => new()
    {
        ["bits"] = 4,
        ["group_size"] = layers.Values.First().GroupSize,
        ["modules_to_not_convert"] = plain.Count == 0 ? null : new JsonArray([.. plain.Select(m => (JsonNode)m)]),
        ["quant_method"] = "awq",
        ["version"] = "gemm",
        ["zero_point"] = true,
    };
}
