using System.Collections.Immutable;
using System.Text;
using System.Text.Json.Nodes;
using ModelPack.Architectures;
using ModelPack.Compiler;

namespace ModelPack.Toolchain;

/// <summary>A checkpoint folder for vLLM or transformers.</summary>
internal sealed class CheckpointCheck
{
    private static readonly string[] TokenizerFiles = ["tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json"];

    /// <summary>Runs all rules.</summary>
    /// <returns>How the weights are quantised, and how many tensors there are.</returns>
    public static (string Format, int Tensors) Run(string path, string target, Findings findings, CancellationToken cancellation)
    {
        if (!Containers.Containers.Get("checkpoint").Recognizes(path))
        {
            findings.Error("wrong-kind", $"{target} loads folders with safetensors files");
            return ("none", 0);
        }

        CheckpointFiles files;
        try
        {
            files = CheckpointFiles.Open(path, cancellation);
        }
        catch (ModelPackException e)
        {
            findings.Error(e);
            return ("unknown", 0);
        }

        using (files)
        {
            JsonObject? config = files.Json("config.json", findings);
            if (config is null)
            {
                findings.Error("config-missing", "there is no config.json that can be read");
                return ("unknown", files.Tensors.Count);
            }

            return (Run(files, config, target, findings, cancellation), files.Tensors.Count);
        }
    }

    private static string Run(CheckpointFiles files, JsonObject config, string target, Findings findings, CancellationToken cancellation)
    {
        JsonNode? section = config["quantization_config"];
        string method = section is JsonObject declared ? Text(declared["quant_method"]) ?? "unknown" : "none";
        var quantized = new Dictionary<string, Shape>(StringComparer.Ordinal);
        switch (method)
        {
            case "compressed-tensors":
                new CompressedTensorsCheck(files, (JsonObject)section!, target, findings, cancellation).Run(quantized);
                break;
            case "fp8":
                Fp8Check.Run(files, (JsonObject)section!, target, findings, quantized);
                break;
            case "gptq":
                GptqCheck.Run(files, (JsonObject)section!, findings, quantized);
                break;
            case "awq":
                AwqCheck.Run(files, (JsonObject)section!, findings, quantized);
                break;
            case "none":
                CheckUndeclared(files, findings);
                break;
            default:
                findings.Warning("unknown-method", $"'quant_method' is '{method}', of which no rules are known here");
                break;
        }

        CheckNumbers(files, findings, cancellation);
        CheckIndex(files, findings);
        CheckTokenizer(files, config, findings);
        if (method is "compressed-tensors" or "fp8" or "gptq" or "awq" or "none")
        {
            CheckComplete(files, config, quantized, findings);
        }

        return method;
    }

    /// <summary>Codes that nothing declares are loaded as if they were weights, or not at all.</summary>
    private static void CheckUndeclared(CheckpointFiles files, Findings findings)
    {
        string[] suffixes = [".weight_packed", ".weight_scale", ".weight_scale_inv", ".qweight", "_blocks"];
        foreach (string name in files.Tensors.Keys.Where(n => Array.Exists(suffixes, s => n.EndsWith(s, StringComparison.Ordinal))))
        {
            findings.Error("quantization-undeclared", "config.json has no quantization_config, so this tensor means nothing to a loader", name);
        }
    }

    private static void CheckNumbers(CheckpointFiles files, Findings findings, CancellationToken cancellation)
    {
        foreach (CheckedTensor tensor in files.Tensors.Values)
        {
            bool scale = tensor.Name.Contains("scale", StringComparison.Ordinal);
            tensor.Scan(out bool notFinite, out bool notPositive, cancellation);
            if (notFinite)
            {
                findings.Error(scale ? "scale-not-finite" : "value-not-finite", "holds NaN or infinity", tensor.Name);
            }
            else if (scale && notPositive && tensor.DType != DType.F8E4M3FN)
            {
                findings.Error("scale-not-positive", "holds a scale that is zero or negative", tensor.Name);
            }
            else if (scale && tensor.DType == DType.U8 && tensor.Contains(0xFF, cancellation))
            {
                findings.Error("scale-not-finite", "holds the E8M0 code of NaN", tensor.Name);
            }
        }
    }

    private static void CheckIndex(CheckpointFiles files, Findings findings)
    {
        if (files.Json("model.safetensors.index.json")?["metadata"]?["total_size"] is JsonValue value && value.TryGetValue(out long total))
        {
            long bytes = files.Tensors.Values.Sum(t => t.Data.LengthBytes);
            if (total != bytes)
            {
                findings.Warning("index-total-size", $"the index says {total} bytes of tensors, the files hold {bytes}");
            }
        }
    }

    private static void CheckTokenizer(CheckpointFiles files, JsonObject config, Findings findings)
    {
        if (!Array.Exists(TokenizerFiles, files.Has))
        {
            findings.Warning("tokenizer-missing", "there is no tokenizer in the folder: prompts must come as token ids");
        }

        if (files.Json("tokenizer.json", findings)?["model"]?["vocab"] is JsonObject vocabulary && config["vocab_size"] is JsonValue size && size.TryGetValue(out long count))
        {
            long most = vocabulary.Select(v => v.Value is JsonValue id && id.TryGetValue(out long number) ? number : -1).DefaultIfEmpty(-1).Max();
            if (most >= count)
            {
                findings.Error("vocabulary-mismatch", $"the tokenizer has the id {most}, config.json a vocabulary of {count}");
            }
        }
    }

    /// <summary>The graph of the architecture over tensors of the shapes that the quantised ones stand for: whatever is missing, left over or of another shape shows. No data is read.</summary>
    private static void CheckComplete(CheckpointFiles files, JsonObject config, Dictionary<string, Shape> quantized, Findings findings)
    {
        string[] parts = ["weight_packed", "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx", "weight_global_scale", "input_scale", "input_zero_point", "input_global_scale", "weight_scale_inv", "qweight", "qzeros", "scales", "g_idx", "k_scale", "v_scale"];
        var tensors = ImmutableArray.CreateBuilder<Tensor>();
        foreach (CheckedTensor tensor in files.Tensors.Values)
        {
            int dot = tensor.Name.LastIndexOf('.');
            string module = dot < 0 ? "" : tensor.Name[..dot];
            string last = tensor.Name[(dot + 1)..];
            if (!(quantized.ContainsKey(module) && (last == "weight" || parts.Contains(last, StringComparer.Ordinal))))
            {
                tensors.Add(Tensor.Raw(tensor.Name, tensor.DType, tensor.Shape, tensor.Data));
            }
        }

        tensors.AddRange(quantized.Select(q => Tensor.Raw(q.Key + ".weight", DType.BF16, q.Value, new PlaceholderData(q.Value.ElementCount * 2))));
        var plain = (JsonObject)config.DeepClone();
        plain.Remove("quantization_config");
        var model = new Model
        {
            Kind = ModelKind.Checkpoint,
            Graph = new Graph { Initializers = tensors.ToImmutable() },
            Files = [new CarriedFile(ModelConfig.FileName, TensorData.FromBytes(Encoding.UTF8.GetBytes(plain.ToJsonString())))],
        };
        try
        {
            foreach (Tensor unused in ArchitectureCatalog.Build(model).CarriedTensors)
            {
                findings.Warning("tensor-unused", "the architecture does not read it", unused.Name);
            }
        }
        catch (ModelPackException e) when (ArchitectureCatalog.IsNotBuilt(e.Code))
        {
            findings.Warning("architecture-unknown", $"whether all tensors are there is not known: {e.Message}");
        }
        catch (ModelPackException e)
        {
            findings.Error(e);
        }
    }

    internal static string? Text(JsonNode? node) => node is JsonValue value && value.TryGetValue(out string? text) ? text : null;

    internal static long? Number(JsonNode? node) => node is JsonValue value && value.TryGetValue(out long number) ? number : null;

    internal static string[] Texts(JsonNode? node) => node is JsonArray list ? [.. list.Select(Text).OfType<string>()] : [];

    /// <summary>Says that a tensor is there; is never read.</summary>
    private sealed class PlaceholderData(long lengthBytes) : TensorData(lengthBytes)
    {
        protected override void ReadCore(long offsetBytes, Span<byte> destination) => destination.Clear();
    }
}
