using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using ModelPack.Compiler;

namespace ModelPack.Toolchain;

/// <summary>What genai_config.json says of a decoder, against its graph: names, sizes, ids and files.</summary>
/// <remarks>Source: onnxruntime-genai, <c>src/config.h</c>, <c>src/models/model_type.h</c>.</remarks>
internal sealed class GenAiCheck
{
    /// <summary>Kinds of language models that GenAI 0.20 knows.</summary>
    private static readonly string[] Types =
    [
        "chatglm", "decoder", "ernie4_5", "gemma", "gemma2", "gemma3_text", "gpt2", "gptoss", "granite", "internlm2", "lfm2", "llama", "mistral", "nemotron", "olmo", "phi", "phimoe", "phi3", "phi3small", "qwen2", "qwen3", "smollm3",
    ];

    /// <summary>Inputs that GenAI fills in by itself where the graph has them.</summary>
    private static readonly string[] Known = ["past_sequence_length", "current_sequence_length", "total_sequence_length", "cache_indirection"];

    private const int MaxBytes = 16 << 20;

    private readonly string _folder;
    private readonly Findings _findings;

    private GenAiCheck(string folder, Findings findings)
    {
        _folder = folder;
        _findings = findings;
    }

    /// <summary>The model's file that the configuration names; null when there is none to check.</summary>
    public static string? Run(string folder, Findings findings, out Action<Model> graph)
    {
        graph = _ => { };
        string path = Path.Join(folder, GenAiExport.ConfigFile);
        if (!File.Exists(path))
        {
            findings.Error("wrong-kind", $"ONNX Runtime loads .onnx files; ONNX Runtime GenAI loads folders with {GenAiExport.ConfigFile}, which is not there");
            return null;
        }

        try
        {
            if (new FileInfo(path).Length > MaxBytes || JsonNode.Parse(File.ReadAllBytes(path)) is not JsonObject root || root["model"] is not JsonObject model || model["decoder"] is not JsonObject decoder)
            {
                findings.Error("genai-config-invalid", $"{GenAiExport.ConfigFile} has no object 'model' with an object 'decoder'");
                return null;
            }

            var check = new GenAiCheck(folder, findings);
            string? file = check.Files(model, decoder);
            graph = m => check.Guarded(() => check.Graph(m.Graph, model, decoder, root["search"] as JsonObject));
            return file;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException or IOException or UnauthorizedAccessException)
        {
            findings.Error("genai-config-invalid", $"{GenAiExport.ConfigFile}: {e.Message}");
            return null;
        }
    }

    private void Guarded(Action check)
    {
        try
        {
            check();
        }
        catch (Exception e) when (e is InvalidOperationException or FormatException)
        {
            _findings.Error("genai-config-invalid", $"{GenAiExport.ConfigFile}: a value of another type: {e.Message}");
        }
    }

    private string? Files(JsonObject model, JsonObject decoder)
    {
        string? type = (string?)model["type"];
        if (type is null || !Types.Contains(type, StringComparer.Ordinal))
        {
            _findings.Error("genai-type-unknown", $"model.type is {(type is null ? "missing" : $"'{type}'")}; GenAI knows {string.Join(", ", Types)}");
        }

        foreach (string name in (string[])["tokenizer.json", "tokenizer_config.json"])
        {
            if (!File.Exists(Path.Join(_folder, name)))
            {
                _findings.Warning("tokenizer-missing", $"there is no {name}: GenAI's tokenizer does not load, only token ids can be given");
            }
        }

        string? file = (string?)decoder["filename"];
        if (file is null || Path.IsPathRooted(file) || file.Split('/', '\\').Contains("..", StringComparer.Ordinal) || !File.Exists(Path.Join(_folder, file)))
        {
            _findings.Error("genai-model-missing", $"model.decoder.filename is {(file is null ? "missing" : $"'{file}', which is not in the folder")}");
            return null;
        }

        return Path.Join(_folder, file);
    }

    private void Graph(Graph graph, JsonObject model, JsonObject decoder, JsonObject? search)
    {
        Dictionary<string, ValueInfo> inputs = graph.FreeInputs().ToDictionary(i => i.Name, StringComparer.Ordinal);
        Dictionary<string, ValueInfo> outputs = graph.Outputs.ToDictionary(o => o.Name, StringComparer.Ordinal);
        long layers = Positive(decoder, "num_hidden_layers");
        long heads = Positive(decoder, "num_key_value_heads");
        long channels = Positive(decoder, "head_size");
        long vocabulary = Positive(model, "vocab_size");
        long context = Positive(model, "context_length");
        string Name(string section, string key, string fallback) => (string?)(decoder[section] as JsonObject)?[key] ?? fallback;
        var known = new HashSet<string>(Known, StringComparer.Ordinal);
        foreach ((string key, bool needed) in ((string, bool)[])[("input_ids", true), ("attention_mask", false), ("position_ids", false)])
        {
            string name = Name("inputs", key, key);
            known.Add(name);
            bool there = inputs.ContainsKey(name);
            if (!there && (needed || (decoder["inputs"] as JsonObject)?[key] is not null))
            {
                Report(needed, "genai-name-missing", $"inputs.{key} is '{name}', which the graph does not take");
            }
        }

        for (int layer = 0; layer < Math.Min(layers, 10_000); layer++)
        {
            foreach (string part in (string[])["key", "value"])
            {
                string past = Numbered(Name("inputs", $"past_{part}_names", $"past_key_values.%d.{part}"), layer);
                string present = Numbered(Name("outputs", $"present_{part}_names", $"present.%d.{part}"), layer);
                known.Add(past);
                if (!inputs.TryGetValue(past, out ValueInfo? input))
                {
                    _findings.Error("genai-name-missing", $"the graph takes no '{past}' (num_hidden_layers {layers})");
                }
                else if (input.Type.Dims.IsDefault || input.Type.Dims is not [_, { Value: var h }, _, { Value: var c }] || (h is not null && h != heads) || (c is not null && c != channels))
                {
                    _findings.Error("genai-size-mismatch", $"'{past}' is {input.Type}, but num_key_value_heads is {heads} and head_size {channels}");
                }

                if (!outputs.ContainsKey(present))
                {
                    _findings.Error("genai-name-missing", $"the graph gives no '{present}'");
                }
            }
        }

        foreach (string other in inputs.Keys.Where(i => !known.Contains(i)))
        {
            _findings.Error("genai-input-unknown", $"the graph takes '{other}', which GenAI does not give");
        }

        string logits = Name("outputs", "logits", "logits");
        if (!outputs.TryGetValue(logits, out ValueInfo? scores))
        {
            _findings.Error("genai-name-missing", $"the graph gives no '{logits}'");
        }
        else if (!scores.Type.Dims.IsDefault && scores.Type.Dims is [.., { Value: long width }] && width != vocabulary)
        {
            _findings.Error("genai-size-mismatch", $"'{logits}' has {width} scores per token, but vocab_size is {vocabulary}");
        }

        foreach (string key in (string[])["eos_token_id", "bos_token_id", "pad_token_id"])
        {
            IEnumerable<JsonNode?> ids = model[key] is JsonArray list ? list : (JsonNode?[])[model[key]];
            foreach (JsonNode? id in ids.Where(i => i is not null))
            {
                if ((long)id! < 0 || (long)id! >= vocabulary)
                {
                    _findings.Error("genai-token-range", $"model.{key} is {id!.ToJsonString()}; ids are below {vocabulary}");
                }
            }
        }

        if (model["eos_token_id"] is null or JsonArray { Count: 0 })
        {
            _findings.Error("genai-token-range", "model.eos_token_id is missing: texts would not end");
        }

        Search(graph, search, context);
    }

    private void Search(Graph graph, JsonObject? search, long context)
    {
        if (search?["max_length"] is JsonNode longest && (long)longest > context)
        {
            _findings.Error("genai-length", $"search.max_length is {longest.ToJsonString()}, more than context_length {context}");
        }

        if ((bool?)search?["past_present_share_buffer"] == true && !graph.Nodes.Any(n => n.OpType is "GroupQueryAttention" or "DecoderMaskedMultiHeadAttention"))
        {
            _findings.Error("genai-shared-buffer", "search.past_present_share_buffer is true, but no node of the graph writes into the past (GroupQueryAttention)");
        }
    }

    private long Positive(JsonObject section, string key)
    {
        long value = section[key] is JsonNode node ? (long)node : 0;
        if (value <= 0)
        {
            _findings.Error("genai-config-invalid", $"'{key}' is {(section[key] is JsonNode given ? given.ToJsonString() : "missing")}, not a number above 0");
        }

        return value;
    }

    private void Report(bool error, string rule, string message)
    {
        if (error)
        {
            _findings.Error(rule, message);
        }
        else
        {
            _findings.Warning(rule, message);
        }
    }

    private static string Numbered(string name, int layer) => name.Replace("%d", layer.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal);
}
