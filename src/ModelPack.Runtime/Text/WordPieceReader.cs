using System.Collections.Immutable;
using System.Text;

namespace ModelPack.Runtime.Text;

/// <summary>Reads WordPiece tokenizers: from tokenizer.json, or from BERT's vocab.txt with tokenizer_config.json.</summary>
internal static class WordPieceReader
{
    private const string SettingsFile = "tokenizer_config.json";
    private const int DefaultLongestWord = 100;
    private const int MaxLongestWord = 1 << 20;

    /// <exception cref="ModelPackException">MP5031, MP5032.</exception>
    public static WordPieceParts Read(Json root)
    {
        Json model = root.Get("model");
        Dictionary<string, int> vocabulary = TokenizerJson.ReadVocabulary(model.Get("vocab"));
        string unknown = model.Find("unk_token")?.Text() ?? "[UNK]";
        if (root.Find("pre_tokenizer")?.Get("type").Text() is var words and not "BertPreTokenizer")
        {
            throw Json.NotSupported(words is null ? "WordPiece without a pre_tokenizer; only BertPreTokenizer is" : $"WordPiece with a pre_tokenizer of type '{words}'; only BertPreTokenizer is");
        }

        (ImmutableArray<int> prefix, ImmutableArray<int> suffix) = TemplateReader.Read(root.Find("post_processor"));
        return new WordPieceParts(
            vocabulary,
            TokenizerJson.ReadAdded(root, vocabulary),
            ReadNormalizer(root.Find("normalizer")),
            vocabulary.TryGetValue(unknown, out int id) ? id : throw model.Bad($"model.unk_token '{unknown}' is not in the vocabulary"),
            model.Find("continuing_subword_prefix")?.Text() ?? "##",
            model.Find("max_input_chars_per_word")?.Integer(MaxLongestWord) ?? DefaultLongestWord,
            prefix,
            suffix);
    }

    /// <exception cref="ModelPackException">MP5031, MP5032.</exception>
    public static WordPieceParts ReadVocabulary(ReadOnlyMemory<byte> text, ReadOnlyMemory<byte>? settings)
    {
        Json? config = settings is ReadOnlyMemory<byte> utf8 ? Json.Parse(utf8, SettingsFile) : null;
        if (config?.Flag("do_basic_tokenize", true) == false)
        {
            throw Json.NotSupported($"{SettingsFile}: do_basic_tokenize false");
        }

        string[] lines = Encoding.UTF8.GetString(text.Span).Split('\n');
        var vocabulary = new Dictionary<string, int>(lines.Length, StringComparer.Ordinal);
        for (int id = 0; id < lines.Length - (lines[^1].Length == 0 ? 1 : 0); id++)
        {
            vocabulary[lines[id].TrimEnd('\r')] = id; // Of a token that is there twice the last id counts, as for Hugging Face's reader.
        }

        ImmutableArray<AddedToken> special =
        [
            .. Special("pad_token", "[PAD]"), .. Special("unk_token", "[UNK]"), .. Special("cls_token", "[CLS]"), .. Special("sep_token", "[SEP]"), .. Special("mask_token", "[MASK]"),
        ];
        bool lower = config?.Flag("do_lower_case", true) ?? true;
        return new WordPieceParts(
            vocabulary,
            special,
            new BertText(true, config?.Flag("tokenize_chinese_chars", true) ?? true, config?.Flag("strip_accents", lower) ?? lower, lower),
            Id("unk_token", "[UNK]"),
            "##",
            DefaultLongestWord,
            [Id("cls_token", "[CLS]")],
            [Id("sep_token", "[SEP]")]);

        string Name(string key, string fallback) => config?.Find(key) is not Json value ? fallback : value.IsText ? value.Text() : value.Get("content").Text();

        AddedToken[] Special(string key, string fallback) => vocabulary.TryGetValue(Name(key, fallback), out int id) ? [new AddedToken(id, Name(key, fallback), true, false, false, false)] : [];

        int Id(string key, string fallback) => vocabulary.TryGetValue(Name(key, fallback), out int id) ? id
            : throw new ModelPackException(ErrorCodes.BadTokenizer, $"{WordPieceTokenizer.VocabularyFileName}: the {key} '{Name(key, fallback)}' is not in it");
    }

    private static BertText? ReadNormalizer(Json? section) => section?.Get("type").Text() switch
    {
        null => null,
        "BertNormalizer" => ReadBert(section),
        "Sequence" when section.Get("normalizers").Items() is [Json only] => ReadNormalizer(only),
        string type => throw Json.NotSupported($"WordPiece with a normalizer of type '{type}'; only BertNormalizer is"),
    };

    private static BertText ReadBert(Json section)
    {
        bool lower = section.Flag("lowercase", true);
        return new BertText(section.Flag("clean_text", true), section.Flag("handle_chinese_chars", true), section.Flag("strip_accents", lower), lower);
    }
}
