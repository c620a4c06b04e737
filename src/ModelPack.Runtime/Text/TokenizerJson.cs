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

        bool characters = model.Flag("byte_fallback", false);
        bool stripStart = characters ? ReadCharacterDecoder(root.Find("decoder")) : CheckDecoder(root.Find("decoder"));
        (ImmutableArray<int> prefix, ImmutableArray<int> suffix) = TemplateReader.Read(root.Find("post_processor"));
        return new TokenizerParts
        {
            Added = added,
            Normalize = NormalizerReader.Read(root.Find("normalizer")),
            Steps = characters ? PreTokenizerReader.ReadCharacters(root.Find("pre_tokenizer"), first: false) : PreTokenizerReader.Read(root.Find("pre_tokenizer")),
            FirstSteps = characters ? PreTokenizerReader.ReadCharacters(root.Find("pre_tokenizer"), first: true) : null,
            Characters = characters ? new CharacterForm(vocabulary, CharacterForm.ReadByteIds(vocabulary), stripStart) : null,
            Tokens = tokens,
            ByteIds = characters ? [] : ReadByteIds(vocabulary),
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
            throw Json.NotSupported($"model of type '{type}'; only BPE is");
        }

        foreach (string name in new[] { "continuing_subword_prefix", "end_of_word_suffix" })
        {
            if (model.Find(name)?.Text() is { Length: > 0 } text)
            {
                throw Json.NotSupported($"model.{name} '{text}'");
            }
        }

        if (model.Find("dropout") is Json dropout && dropout.Number() != 0)
        {
            throw Json.NotSupported("model.dropout");
        }
    }

    internal static Dictionary<string, int> ReadVocabulary(Json vocabulary)
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

    internal static ImmutableArray<AddedToken> ReadAdded(Json root, Dictionary<string, int> vocabulary)
    {
        var tokens = ImmutableArray.CreateBuilder<AddedToken>();
        var seen = new HashSet<int>();
        foreach (Json item in root.Find("added_tokens")?.Items() ?? [])
        {
            bool special = item.Flag("special", false);
            var token = new AddedToken(
                item.Get("id").Integer(MaxTokens),
                item.Get("content").Text(),
                special,
                item.Flag("lstrip", false),
                item.Flag("rstrip", false),
                item.Flag("normalized", !special));
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

    /// <summary>The decoder of a vocabulary of characters: Metaspace, or Replace, ByteFallback, Fuse and Strip one after the other.</summary>
    /// <returns>Whether text loses a space at its beginning.</returns>
    private static bool ReadCharacterDecoder(Json? decoder)
    {
        if (decoder is null)
        {
            throw Json.NotSupported("a tokenizer without a decoder");
        }

        bool strip = false;
        bool replaces = false;
        foreach (Json step in decoder.Get("type").Text() == "Sequence" ? decoder.Get("decoders").Items() : [decoder])
        {
            switch (step.Get("type").Text())
            {
                case "ByteFallback" or "Fuse":
                    break;
                case "Replace" when step.Get("pattern").Find("String")?.Text() == CharacterForm.Space.ToString() && step.Get("content").Text() == " ":
                    replaces = true;
                    break;
                case "Strip" when step.Get("content").Text() == " " && step.Get("start").Integer(2) == 1 && step.Get("stop").Integer(2) == 0:
                    strip = true;
                    break;
                case "Metaspace":
                    replaces = true;
                    strip = (step.Find("prepend_scheme")?.Text() ?? (step.Flag("add_prefix_space", true) ? "always" : "never")) != "never";
                    break;
                case string type:
                    throw Json.NotSupported($"decoder of type '{type}' for a vocabulary with byte_fallback");
            }
        }

        return replaces ? strip : throw Json.NotSupported("a decoder that leaves U+2581 in the text");
    }

    private static bool CheckDecoder(Json? decoder)
    {
        if (decoder?.Get("type").Text() is not "ByteLevel")
        {
            throw Json.NotSupported(decoder is null ? "a tokenizer without a decoder; only ByteLevel is" : $"decoder of type '{decoder.Get("type").Text()}'; only ByteLevel is");
        }

        return false;
    }
}
