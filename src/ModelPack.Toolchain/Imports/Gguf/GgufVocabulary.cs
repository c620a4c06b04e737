using System.Text.Json.Nodes;
using ModelPack.Containers.Gguf;

namespace ModelPack.Toolchain;

/// <summary>The tokenizer of a GGUF file as checkpoints have it: byte-level BPE (<c>gpt2</c>), or pieces of SentencePiece with bytes (<c>llama</c>).</summary>
/// <param name="Tokenizer">tokenizer.json.</param>
/// <param name="Settings">tokenizer_config.json.</param>
/// <remarks>Source: llama.cpp, <c>src/llama-vocab.cpp</c>; for merges from scores transformers, <c>convert_slow_tokenizer.py</c>.</remarks>
internal sealed record GgufVocabulary(JsonObject Tokenizer, JsonObject Settings)
{
    private const int Control = 3;
    private const int UserDefined = 4;
    private const int Unused = 5;

    /// <summary>The tokenizer; null when the file has none, or one of a kind that is not read.</summary>
    /// <param name="pairs">The metadata.</param>
    /// <param name="rows">Rows of the embedding.</param>
    /// <param name="why">Why there is none.</param>
    /// <exception cref="ModelPackException">MP1520, MP1521: it is damaged.</exception>
    public static GgufVocabulary? Read(GgufPairs pairs, long rows, out string? why)
    {
        why = null;
        string? model = pairs.Text("tokenizer.ggml.model");
        if (model is not ("gpt2" or "llama"))
        {
            why = model is null or "none" ? "the file has no tokenizer" : $"a tokenizer of the kind '{model}' is not read";
            return null;
        }

        IReadOnlyList<string> tokens = pairs.Texts("tokenizer.ggml.tokens") ?? throw pairs.Wrong("tokenizer.ggml.tokens", "a list of text");
        if (tokens.Count != rows)
        {
            throw Damaged($"tokenizer.ggml.tokens has {tokens.Count} tokens and the embedding {rows} rows");
        }

        IReadOnlyList<double> types = pairs.Numbers("tokenizer.ggml.token_type") ?? [.. Enumerable.Repeat(1.0, tokens.Count)];
        if (types.Count != tokens.Count)
        {
            throw Damaged($"tokenizer.ggml.token_type has {types.Count} items for {tokens.Count} tokens");
        }

        foreach (string id in (string[])["bos", "eos", "unknown", "padding"])
        {
            if (pairs.Count($"tokenizer.ggml.{id}_token_id") is long at && at >= tokens.Count)
            {
                throw Damaged($"tokenizer.ggml.{id}_token_id is {at} of {tokens.Count} tokens");
            }
        }

        JsonObject? parts = model == "gpt2" ? Bytes(pairs, tokens, types, out why) : Pieces(pairs, tokens, types);
        return parts is null ? null : new GgufVocabulary(Complete(parts, pairs, tokens, types), Special(pairs, tokens));
    }

    private static JsonObject? Bytes(GgufPairs pairs, IReadOnlyList<string> tokens, IReadOnlyList<double> types, out string? why)
    {
        string pre = pairs.Text("tokenizer.ggml.pre") ?? "gpt-2";
        JsonNode? steps = GgufTokenizer.Steps(pre);
        why = steps is null ? $"text is taken apart in a way that is not known here ('{pre}')" : null;
        if (steps is null)
        {
            return null;
        }

        IReadOnlyList<string> merges = pairs.Texts("tokenizer.ggml.merges") ?? throw pairs.Wrong("tokenizer.ggml.merges", "a list of text");
        var ids = Ids(tokens, types);
        foreach (string merge in merges)
        {
            if (merge.Split(' ') is not [{ Length: > 0 } left, { Length: > 0 } right] || !ids.ContainsKey(left) || !ids.ContainsKey(right) || !ids.ContainsKey(left + right))
            {
                throw Damaged($"tokenizer.ggml.merges has '{merge}', which is no pair of tokens that make a token");
            }
        }

        return new JsonObject
        {
            ["normalizer"] = pre == "qwen2" ? new JsonObject { ["type"] = "NFC" } : null,
            ["pre_tokenizer"] = steps,
            ["decoder"] = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = true },
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["byte_fallback"] = false,
                ["ignore_merges"] = pre == "llama-bpe",
                ["vocab"] = Vocabulary(ids),
                ["merges"] = new JsonArray([.. merges.Select(m => (JsonNode)m)]),
            },
        };
    }

    private static JsonObject Pieces(GgufPairs pairs, IReadOnlyList<string> tokens, IReadOnlyList<double> types)
    {
        IReadOnlyList<double> scores = pairs.Numbers("tokenizer.ggml.scores") ?? throw pairs.Wrong("tokenizer.ggml.scores", "a list of numbers");
        if (scores.Count != tokens.Count)
        {
            throw Damaged($"tokenizer.ggml.scores has {scores.Count} items for {tokens.Count} tokens");
        }

        Dictionary<string, int> ids = Ids(tokens, types);
        bool prefix = pairs.Flag("tokenizer.ggml.add_space_prefix") ?? true;
        JsonObject replace = new() { ["type"] = "Replace", ["pattern"] = new JsonObject { ["String"] = " " }, ["content"] = "▁" };
        return new JsonObject
        {
            ["normalizer"] = prefix ? new JsonObject { ["type"] = "Sequence", ["normalizers"] = new JsonArray(new JsonObject { ["type"] = "Prepend", ["prepend"] = "▁" }, replace) } : replace,
            ["pre_tokenizer"] = null,
            ["decoder"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["decoders"] = new JsonArray(
                [
                    new JsonObject { ["type"] = "Replace", ["pattern"] = new JsonObject { ["String"] = "▁" }, ["content"] = " " },
                    new JsonObject { ["type"] = "ByteFallback" },
                    new JsonObject { ["type"] = "Fuse" },
                    .. prefix ? [new JsonObject { ["type"] = "Strip", ["content"] = " ", ["start"] = 1, ["stop"] = 0 }] : (JsonNode[])[],
                ]),
            },
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["unk_token"] = pairs.Count("tokenizer.ggml.unknown_token_id") is long unknown ? tokens[(int)unknown] : null,
                ["fuse_unk"] = true,
                ["byte_fallback"] = true,
                ["vocab"] = Vocabulary(ids),
                ["merges"] = Merges(ids, scores),
            },
        };
    }

    /// <summary>Every pair of pieces that make a piece, best pieces first; pairs of the same piece, and pieces of the same score, in the order of ids.</summary>
    private static JsonArray Merges(Dictionary<string, int> ids, IReadOnlyList<double> scores)
    {
        var merges = new List<(double Score, int Piece, int Left, int Right, string Text)>();
        foreach ((string piece, int id) in ids)
        {
            if (piece is ['<', '0', 'x', _, _, '>'])
            {
                continue;
            }

            for (int cut = 1; cut < piece.Length; cut++)
            {
                if (!char.IsLowSurrogate(piece[cut]) && ids.TryGetValue(piece[..cut], out int left) && ids.TryGetValue(piece[cut..], out int right))
                {
                    merges.Add((-scores[id], id, left, right, $"{piece[..cut]} {piece[cut..]}"));
                }
            }
        }

        merges.Sort(static (a, b) => (a.Score, a.Piece, a.Left, a.Right).CompareTo((b.Score, b.Piece, b.Left, b.Right)));
        return [.. merges.Select(m => (JsonNode)m.Text)];
    }

    /// <summary>Tokens that text is made of: not what only stands for itself, nor places that are kept free.</summary>
    private static Dictionary<string, int> Ids(IReadOnlyList<string> tokens, IReadOnlyList<double> types)
    {
        var ids = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int i = 0; i < tokens.Count; i++)
        {
            if (types[i] is not (Control or UserDefined or Unused) && !ids.TryAdd(tokens[i], i))
            {
                throw Damaged($"tokenizer.ggml.tokens has '{tokens[i]}' twice, as {ids[tokens[i]]} and {i}");
            }
        }

        return ids;
    }

    private static JsonObject Vocabulary(Dictionary<string, int> ids)
    {
        var vocabulary = new JsonObject();
        foreach ((string token, int id) in ids)
        {
            vocabulary[token] = id;
        }

        return vocabulary;
    }

    private static JsonObject Complete(JsonObject parts, GgufPairs pairs, IReadOnlyList<string> tokens, IReadOnlyList<double> types)
    {
        var added = new JsonArray();
        for (int i = 0; i < tokens.Count; i++)
        {
            if (types[i] is Control or UserDefined && tokens[i].Length > 0)
            {
                added.Add((JsonNode)new JsonObject { ["id"] = i, ["content"] = tokens[i], ["single_word"] = false, ["lstrip"] = false, ["rstrip"] = false, ["normalized"] = false, ["special"] = types[i] is Control });
            }
        }

        JsonObject? begins = (pairs.Flag("tokenizer.ggml.add_bos_token") ?? pairs.Text("tokenizer.ggml.model") == "llama") && pairs.Count("tokenizer.ggml.bos_token_id") is long bos
            ? new JsonObject
            {
                ["type"] = "TemplateProcessing",
                ["single"] = new JsonArray(Token(tokens[(int)bos]), Sequence("A")),
                ["pair"] = new JsonArray(Token(tokens[(int)bos]), Sequence("A"), Token(tokens[(int)bos]), Sequence("B")),
                ["special_tokens"] = new JsonObject { [tokens[(int)bos]] = new JsonObject { ["id"] = tokens[(int)bos], ["ids"] = new JsonArray(bos), ["tokens"] = new JsonArray(tokens[(int)bos]) } },
            }
            : null;
        return new JsonObject
        {
            ["version"] = "1.0",
            ["added_tokens"] = added,
            ["normalizer"] = parts["normalizer"]?.DeepClone(),
            ["pre_tokenizer"] = parts["pre_tokenizer"]?.DeepClone(),
            ["post_processor"] = begins,
            ["decoder"] = parts["decoder"]!.DeepClone(),
            ["model"] = parts["model"]!.DeepClone(),
        };
    }

    private static JsonObject Token(string token) => new() { ["SpecialToken"] = new JsonObject { ["id"] = token, ["type_id"] = 0 } };

    private static JsonObject Sequence(string id) => new() { ["Sequence"] = new JsonObject { ["id"] = id, ["type_id"] = 0 } };

    private static JsonObject Special(GgufPairs pairs, IReadOnlyList<string> tokens)
    {
        var settings = new JsonObject();
        foreach ((string key, string name) in new[] { ("bos", "bos_token"), ("eos", "eos_token"), ("unknown", "unk_token"), ("padding", "pad_token") })
        {
            if (pairs.Count($"tokenizer.ggml.{key}_token_id") is long id)
            {
                settings[name] = tokens[(int)id];
            }
        }

        if (pairs.Flag("tokenizer.ggml.add_bos_token") is bool begins)
        {
            settings["add_bos_token"] = begins;
        }

        if (pairs.Text("tokenizer.chat_template") is string template)
        {
            settings["chat_template"] = template;
        }

        return settings;
    }

    private static ModelPackException Damaged(string detail) => new(ErrorCodes.GgufVocabulary, detail);
}
