using System.Collections.Frozen;
using System.Text.Json;
using System.Text.Json.Nodes;
using ModelPack.Architectures;
using ModelPack.Compiler;
using ModelPack.Containers.Gguf;

namespace ModelPack.Toolchain;

/// <summary>The tokenizer of a checkpoint in the keys of llama.cpp: byte-level BPE as <c>gpt2</c>, SentencePiece vocabularies with bytes as <c>llama</c>.</summary>
/// <remarks>Source: llama.cpp, <c>convert_hf_to_gguf.py</c> and <c>src/llama-vocab.cpp</c>.</remarks>
internal sealed class GgufTokenizer
{
    private const int Normal = 1;
    private const int Unknown = 2;
    private const int Control = 3;
    private const int UserDefined = 4;
    private const int Unused = 5;
    private const int Byte = 6;
    private const int MaxBytes = 256 << 20;

    /// <summary>What llama.cpp calls the ways of taking text apart, by the regular expressions of tokenizer.json before the bytes; with <c>d</c> for a step that takes digits apart.</summary>
    private static readonly FrozenDictionary<string, string> Names = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        [""] = "gpt-2",
        ["d"] = "smollm",
        [@"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"] = "llama-bpe",
        [@"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"] = "qwen2",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>The way back: the <c>pre_tokenizer</c> of a name; null for one that is not known here.</summary>
    public static JsonObject? Steps(string name)
    {
        if (Names.FirstOrDefault(n => n.Value == name) is not { Value: not null } known)
        {
            return null;
        }

        bool own = known.Key is "" or "d";
        var bytes = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = own };
        JsonObject? before = known.Key switch
        {
            "" => null,
            "d" => new JsonObject { ["type"] = "Digits", ["individual_digits"] = true },
            string pattern => new JsonObject { ["type"] = "Split", ["pattern"] = new JsonObject { ["Regex"] = pattern }, ["behavior"] = "Isolated", ["invert"] = false },
        };
        return before is null ? bytes : new JsonObject { ["type"] = "Sequence", ["pretokenizers"] = new JsonArray(before, bytes) };
    }

    private readonly JsonObject _file;
    private readonly JsonObject _model;
    private readonly Func<string, JsonObject?> _other;

    private GgufTokenizer(JsonObject file, Func<string, JsonObject?> other)
    {
        _file = file;
        _model = file["model"]!.AsObject();
        _other = other;
    }

    /// <summary>Writes the keys.</summary>
    /// <param name="files">Files of the checkpoint.</param>
    /// <param name="vocabularySize">Rows of the embedding: ids without a token get a placeholder.</param>
    /// <param name="metadata">Takes them.</param>
    /// <exception cref="ModelPackException">MP4107: there is no tokenizer.json, or it has no counterpart; MP5031: it is damaged.</exception>
    public static void Describe(IReadOnlyList<CarriedFile> files, int vocabularySize, GgufMetadata metadata)
    {
        try
        {
            JsonObject? Read(string name) => files.FirstOrDefault(f => f.RelativePath == name) is CarriedFile file ? JsonNode.Parse(file.Data.ToArray(MaxBytes)) as JsonObject : null;
            JsonObject file = Read("tokenizer.json") ?? throw new ModelPackException(ErrorCodes.ExportNotPossible, "there is no tokenizer.json, without which llama.cpp does not load the model");
            new GgufTokenizer(file, Read).Describe(vocabularySize, metadata, files);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or NullReferenceException or FormatException or ArgumentException)
        {
            throw new ModelPackException(ErrorCodes.BadTokenizer, $"tokenizer.json, or a file beside it, cannot be read: {e.Message}", innerException: e);
        }
    }

    private void Describe(int vocabularySize, GgufMetadata metadata, IReadOnlyList<CarriedFile> files)
    {
        if (((string?)_model["type"] ?? "BPE") != "BPE")
        {
            throw NotPossible($"a model of type '{_model["type"]}'");
        }

        bool pieces = (bool?)_model["byte_fallback"] ?? false;
        (string[] tokens, int[] types) = Vocabulary(vocabularySize, pieces);
        (string Left, string Right)[] merges = [.. _model["merges"]!.AsArray().Select(Merge)];
        metadata.Add("tokenizer.ggml.model", pieces ? "llama" : "gpt2");
        metadata.Add("tokenizer.ggml.pre", pieces ? "default" : Pre());
        metadata.Add("tokenizer.ggml.tokens", tokens);
        if (pieces)
        {
            metadata.Add("tokenizer.ggml.scores", Scores(tokens, types, merges));
        }

        metadata.Add("tokenizer.ggml.token_type", types);
        if (!pieces)
        {
            metadata.Add("tokenizer.ggml.merges", [.. merges.Select(m => $"{m.Left} {m.Right}")]);
        }

        Special(tokens, metadata, pieces);
        string? template = (string?)(_other("tokenizer_config.json")?["chat_template"] as JsonValue)
            ?? (files.FirstOrDefault(f => f.RelativePath == "chat_template.jinja") is CarriedFile jinja ? System.Text.Encoding.UTF8.GetString(jinja.Data.ToArray(MaxBytes)) : null);
        if (template is not null)
        {
            metadata.Add("tokenizer.chat_template", template);
        }
    }

    private (string[] Tokens, int[] Types) Vocabulary(int size, bool pieces)
    {
        string[] tokens = new string[size];
        int[] types = new int[size];
        foreach ((string token, JsonNode? id) in _model["vocab"]!.AsObject())
        {
            bool isByte = pieces && token is ['<', '0', 'x', _, _, '>'];
            Set((int)id!, token, isByte ? Byte : Normal);
        }

        foreach (JsonNode? added in _file["added_tokens"]?.AsArray() ?? [])
        {
            Set((int)added!["id"]!, (string)added["content"]!, (bool?)added["special"] ?? false ? Control : UserDefined);
        }

        if ((string?)_model["unk_token"] is string unknown && Array.IndexOf(tokens, unknown) is int at and >= 0)
        {
            types[at] = Unknown;
        }

        for (int i = 0; i < size; i++)
        {
            if (tokens[i] is null)
            {
                tokens[i] = FormattableString.Invariant($"[PAD{i}]");
                types[i] = Unused;
            }
        }

        return (tokens, types);

        void Set(int id, string token, int type)
        {
            if (id < 0 || id >= size)
            {
                throw NotPossible(FormattableString.Invariant($"token {id} ('{token}'), which is beyond the {size} of config.json,"));
            }

            tokens[id] = token;
            types[id] = type;
        }
    }

    private static (string Left, string Right) Merge(JsonNode? merge)
    {
        if (merge is JsonArray pair)
        {
            return ((string)pair[0]!, (string)pair[1]!);
        }

        string[] parts = ((string)merge!).Split(' ');
        return parts.Length == 2 ? (parts[0], parts[1]) : throw new FormatException($"the merge '{merge}' is not a pair");
    }

    /// <summary>SentencePiece merges the pair whose piece has the highest score: minus the rank of the first merge that makes it.</summary>
    private static float[] Scores(string[] tokens, int[] types, (string Left, string Right)[] merges)
    {
        var ranks = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int i = 0; i < merges.Length; i++)
        {
            ranks.TryAdd(merges[i].Left + merges[i].Right, i);
        }

        // Single characters are never the result of a merge.
        return [.. tokens.Select((t, i) => types[i] == Normal ? -(float)ranks.GetValueOrDefault(t, merges.Length) : 0f)];
    }

    private string Pre()
    {
        JsonNode pre = _file["pre_tokenizer"] ?? throw NotPossible("no pre_tokenizer");
        JsonNode?[] steps = (string?)pre["type"] == "Sequence" ? [.. pre["pretokenizers"]!.AsArray()] : [pre];
        var parts = new List<string>();
        foreach (JsonNode? step in steps)
        {
            switch ((string?)step!["type"])
            {
                case "ByteLevel" when (step["use_regex"]?.GetValue<bool>() ?? true) == !parts.Exists(p => p != "d"):
                    break;
                case "Digits" when step["individual_digits"]?.GetValue<bool>() == true:
                    parts.Add("d");
                    break;
                case "Split" when step["behavior"]?.GetValue<string>() == "Isolated" && step["pattern"]!["Regex"]?.GetValue<string>() is string pattern:
                    parts.Add(pattern);
                    break;
                default:
                    throw NotPossible($"a pre_tokenizer with {step.ToJsonString()}");
            }
        }

        return Names.GetValueOrDefault(string.Join('\n', parts)) ?? throw NotPossible($"a pre_tokenizer with the expressions {string.Join(", ", parts)}");
    }

    private void Special(string[] tokens, GgufMetadata metadata, bool pieces)
    {
        JsonObject? settings = _other("tokenizer_config.json");
        foreach ((string key, string name) in new[] { ("bos", "bos_token"), ("eos", "eos_token"), ("unknown", "unk_token"), ("padding", "pad_token") })
        {
            JsonNode? token = settings?[name];
            string? text = (string?)((token as JsonObject)?["content"] ?? token);
            int id = Array.IndexOf(tokens, text);
            id = id >= 0 ? id : Id(_other("generation_config.json")?[name + "_id"] ?? _other(ModelConfig.FileName)?[name + "_id"], tokens.Length);
            if (id >= 0)
            {
                metadata.Add($"tokenizer.ggml.{key}_token_id", (uint)id);
            }
        }

        bool? begins = (bool?)settings?["add_bos_token"] ?? (_file["post_processor"] is JsonNode post ? post.ToJsonString().Contains("\"TemplateProcessing\"", StringComparison.Ordinal) : null);
        metadata.Add("tokenizer.ggml.add_bos_token", begins ?? pieces);
        if (pieces)
        {
            string steps = (_file["normalizer"]?.ToJsonString() ?? "") + (_file["pre_tokenizer"]?.ToJsonString() ?? "");
            metadata.Add("tokenizer.ggml.add_space_prefix", steps.Contains("\"Prepend\"", StringComparison.Ordinal) || steps.Contains("\"prepend_scheme\":\"always\"", StringComparison.Ordinal) || steps.Contains("\"prepend_scheme\":\"first\"", StringComparison.Ordinal));
        }
    }

    /// <summary>Of several ids the first counts.</summary>
    private static int Id(JsonNode? node, int size)
    {
        JsonNode? first = node is JsonArray { Count: > 0 } list ? list[0] : node;
        return first is JsonValue value && value.TryGetValue(out int id) && id >= 0 && id < size ? id : -1;
    }

    private static ModelPackException NotPossible(string what) => new(ErrorCodes.ExportNotPossible, $"tokenizer.json: {what} has no counterpart in llama.cpp that is known here");
}
