using System.Collections.Immutable;

namespace ModelPack.Runtime.Text;

/// <summary>
/// Reads Hugging Face's tokenizer.json. <c>truncation</c> and <c>padding</c> are settings of batches and mean nothing here; everything else is either
/// carried out or refused by name.
/// </summary>
internal static class TokenizerJson
{
    private const int MaxTokens = 1 << 24;

    /// <exception cref="ModelPackException">MP5031, MP5032.</exception>
    public static TokenizerParts Read(ReadOnlyMemory<byte> utf8)
    {
        Json root = Json.Parse(utf8, BytePairTokenizer.FileName);
        Json model = root.Get("model");
        CheckModel(model);
        Dictionary<string, int> vocabulary = ReadVocabulary(model.Get("vocab"));
        ImmutableArray<AddedToken> added = ReadAdded(root, vocabulary);
        var tokens = new Dictionary<int, string>(vocabulary.Count);
        foreach ((string token, int id) in vocabulary)
        {
            if (!tokens.TryAdd(id, token))
            {
                throw model.Bad($"model.vocab: '{token}' and '{tokens[id]}' have the id {id}");
            }
        }

        CheckDecoder(root.Find("decoder"));
        (ImmutableArray<int> prefix, ImmutableArray<int> suffix) = TemplateReader.Read(root.Find("post_processor"));
        return new TokenizerParts
        {
            Added = added,
            Normalize = NormalizerReader.Read(root.Find("normalizer")),
            Steps = PreTokenizerReader.Read(root.Find("pre_tokenizer")),
            Tokens = tokens,
            ByteIds = ReadByteIds(vocabulary),
            Merges = ReadMerges(model.Get("merges"), vocabulary),
            WholeWords = model.Flag("ignore_merges", false) ? vocabulary : null,
            Prefix = prefix,
            Suffix = suffix,
        };
    }

    private static void CheckModel(Json model)
    {
        string type = model.Find("type")?.Text() ?? "BPE"; // Older files do not name it.
        if (type != "BPE")
        {
            throw Json.NotSupported($"model of type '{type}'; only byte-level BPE is");
        }

        foreach (string name in new[] { "continuing_subword_prefix", "end_of_word_suffix" })
        {
            if (model.Find(name)?.Text() is { Length: > 0 } text)
            {
                throw Json.NotSupported($"model.{name} '{text}'");
            }
        }

        if (model.Flag("byte_fallback", false))
        {
            throw Json.NotSupported("model.byte_fallback (SentencePiece vocabularies)");
        }

        if (model.Find("dropout") is Json dropout && dropout.Number() != 0)
        {
            throw Json.NotSupported("model.dropout");
        }
    }

    private static Dictionary<string, int> ReadVocabulary(Json vocabulary)
    {
        var ids = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach ((string token, Json id) in vocabulary.Properties())
        {
            if (!ids.TryAdd(token, id.Integer(MaxTokens)))
            {
                throw vocabulary.Bad($"model.vocab: '{token}' is there twice");
            }
        }

        return ids;
    }

    private static ImmutableArray<int> ReadByteIds(Dictionary<string, int> vocabulary)
    {
        int[] ids = new int[256];
        for (int b = 0; b < ids.Length; b++)
        {
            bool inText = b is not (0xC0 or 0xC1 or >= 0xF5);
            if (!vocabulary.TryGetValue(ByteAlphabet.Of((byte)b).ToString(), out ids[b]))
            {
                ids[b] = inText ? throw Json.NotSupported($"a vocabulary without a token for the byte 0x{b:X2}") : -1;
            }
        }

        return [.. ids];
    }

    /// <summary>Pairs, as <c>"a b"</c> or <c>["a", "b"]</c>, by rank.</summary>
    private static MergeTable ReadMerges(Json merges, Dictionary<string, int> vocabulary)
    {
        var table = new Dictionary<(int, int), (int, int)>();
        int rank = 0;
        foreach (Json merge in merges.Items())
        {
            (string left, string right) = merge.IsText ? Cut(merge) : Pair(merge);
            var pair = (Id(left), Id(right));
            table[pair] = (rank++, Id(left + right)); // Of a pair that is there twice the last rank counts, as for Hugging Face's reader.
        }

        return new MergeTable(table);

        int Id(string token) => vocabulary.TryGetValue(token, out int id) ? id : throw merges.Bad($"model.merges[{rank}]: '{token}' is not in the vocabulary");

        (string, string) Cut(Json merge) => merge.Text().Split(' ') is [var left, var right]
            ? (left, right)
            : throw merges.Bad($"model.merges[{rank}]: '{merge.Text()}' is not a pair");

        (string, string) Pair(Json merge) => merge.Items() is [var left, var right]
            ? (left.Text(), right.Text())
            : throw merges.Bad($"model.merges[{rank}] is not a pair");
    }

    private static ImmutableArray<AddedToken> ReadAdded(Json root, Dictionary<string, int> vocabulary)
    {
        var tokens = ImmutableArray.CreateBuilder<AddedToken>();
        var seen = new HashSet<int>();
        foreach (Json item in root.Find("added_tokens")?.Items() ?? [])
        {
            var token = new AddedToken(
                item.Get("id").Integer(MaxTokens),
                item.Get("content").Text(),
                item.Flag("special", false),
                item.Flag("lstrip", false),
                item.Flag("rstrip", false),
                item.Flag("normalized", true));
            if (token.Content.Length == 0 || !seen.Add(token.Id))
            {
                throw root.Bad($"added_tokens: token {token.Id} is empty or there twice");
            }

            if (vocabulary.TryGetValue(token.Content, out int id) && id != token.Id)
            {
                throw root.Bad($"added_tokens: '{token.Content}' has the id {token.Id}, in the vocabulary {id}");
            }

            if (item.Flag("single_word", false))
            {
                throw Json.NotSupported($"added_tokens: single_word of '{token.Content}'");
            }

            tokens.Add(token);
        }

        return tokens.ToImmutable();
    }

    private static void CheckDecoder(Json? decoder)
    {
        if (decoder?.Get("type").Text() is not "ByteLevel")
        {
            throw Json.NotSupported(decoder is null ? "a tokenizer without a decoder; only ByteLevel is" : $"decoder of type '{decoder.Get("type").Text()}'; only ByteLevel is");
        }
    }
}
