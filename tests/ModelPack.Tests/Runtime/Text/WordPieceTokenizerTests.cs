using System.Text;
using System.Text.Json.Nodes;
using ModelPack.Runtime.Text;
using Xunit;

namespace ModelPack.Tests.Runtime.Text;

public sealed class WordPieceTokenizerTests
{
    private static readonly string[] Pieces =
    [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "want", "##want", "##ed", "wa", "un", "runn", "##ing", ",", "hello", "!", "how", "are", "you", "?", "ah", "博", "推", "zz", "HeLLo", "$", "^", "i\u0307", "i", "##i", "a", "##😀", "ü", "u", "é",
    ];

    /// <summary>The examples of BERT's own tests (google-research/bert, tokenization_test.py), and what follows from the algorithm for the rest.</summary>
    [Theory]
    [InlineData("unwanted running", "un ##want ##ed runn ##ing")]
    [InlineData("unwantedX running", "[UNK] runn ##ing")]
    [InlineData(" \tHeLLo!how  \n Are yoU?  ", "hello ! how are you ?")]
    [InlineData("H\u00E9llo", "hello")]
    [InlineData("ah\u535A\u63A8zz", "ah 博 推 zz")]
    [InlineData("a\u0301 \u00FC", "a u")]
    [InlineData("hel\u00ADlo\u200Bwant", "hello ##want")]
    [InlineData("hel\u0000lo \uFFFDwant", "hello want")]
    [InlineData("want,$^un\u2003hello\u00A0how", "want , $ ^ un hello how")]
    [InlineData("\u0130i", "i ##i")]
    [InlineData("a\U0001F600", "a ##😀")]
    [InlineData("unwant\uFFFDed", "un ##want ##ed")]
    [InlineData("hello[MASK]!", "hello [MASK] !")]
    [InlineData("[MASK", "[UNK] [UNK]")]
    [InlineData("", "")]
    [InlineData(" \n\u0085", "")]
    public void Encode_lowercase_isByTheAlgorithm(string text, string expected)
    {
        Assert.Equal(Ids($"[CLS] {expected} [SEP]"), FromVocabulary().Encode(text));
        Assert.Equal(Ids($"[CLS] {expected} [SEP]"), FromJson().Encode(text));
    }

    [Theory]
    [InlineData("""{"do_lower_case":false}""", " HeLLo! hello", "HeLLo ! hello")]
    [InlineData("""{"do_lower_case":false}""", "\u00E9 \u00FC", "é ü")]
    [InlineData("""{"do_lower_case":true,"strip_accents":false}""", "\u00DC \u0130", "ü i\u0307")]
    [InlineData("""{"tokenize_chinese_chars":false}""", "博推 博", "[UNK] 博")]
    public void Encode_settings_areThoseOfTheFile(string settings, string text, string expected) =>
        Assert.Equal(Ids($"[CLS] {expected} [SEP]"), FromVocabulary(settings).Encode(text));

    [Fact]
    public void Encode_otherSpecialTokens_areTakenFromTheFile() =>
        Assert.Equal((int[])[19, 13, 22], WordPieceTokenizer.ParseVocabulary(Vocabulary(), Encoding.UTF8.GetBytes("""{"cls_token":{"content":"ah"},"sep_token":"zz"}""")).Encode("hello"));

    [Fact]
    public void Encode_wordLongerThanTheLimit_isUnknown()
    {
        WordPieceTokenizer tokenizer = FromJson(j => j["model"]!["max_input_chars_per_word"] = 5);
        Assert.Equal(Ids("[CLS] hello [UNK] [SEP]"), tokenizer.Encode("hello wanted"));
        Assert.Equal(Ids($"[CLS] [UNK] [SEP]"), FromVocabulary().Encode("a" + string.Concat(Enumerable.Repeat("\U0001F600", 100))));
        Assert.Equal(102, FromVocabulary().Encode("a" + string.Concat(Enumerable.Repeat("\U0001F600", 99))).Length);
    }

    [Theory]
    [InlineData("""{"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]}""", "[CLS] hello [SEP]")]
    [InlineData("""{"type":"RobertaProcessing","sep":["zz",22],"cls":["ah",19],"trim_offsets":true,"add_prefix_space":false}""", "ah hello zz")]
    [InlineData("""{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"x":{"id":"x","ids":[2,4],"tokens":["[CLS]","[MASK]"]}}}""", "[CLS] [MASK] hello")]
    [InlineData("null", "hello")]
    public void Encode_postProcessor_putsItsTokensAround(string section, string expected) =>
        Assert.Equal(Ids(expected), FromJson(j => j["post_processor"] = JsonNode.Parse(section)).Encode("hello"));

    [Theory]
    [InlineData("pre_tokenizer", """{"type":"Whitespace"}""", 5032)]
    [InlineData("pre_tokenizer", "null", 5032)]
    [InlineData("normalizer", """{"type":"NFKC"}""", 5032)]
    [InlineData("post_processor", """{"type":"BertProcessing","sep":["[SEP]"],"cls":["[CLS]",2]}""", 5031)]
    [InlineData("model", """{"type":"WordPiece","vocab":{"a":0},"unk_token":"[UNK]"}""", 5031)]
    [InlineData("model", """{"type":"WordPiece"}""", 5031)]
    public void Parse_otherSections_areErrors(string name, string json, int code) =>
        Assert.Equal(code, Assert.Throws<ModelPackException>(() => FromJson(j => j[name] = JsonNode.Parse(json))).Code.Number);

    [Theory]
    [InlineData("a\nb\n", null, "unk_token '[UNK]' is not in it")]
    [InlineData("[UNK]\n[CLS]\n", null, "sep_token '[SEP]' is not in it")]
    [InlineData("[UNK]\n[CLS]\n[SEP]\n", "{", "not JSON")]
    public void ParseVocabulary_damaged_isMP5031(string vocabulary, string? settings, string message)
    {
        var error = Assert.Throws<ModelPackException>(() => WordPieceTokenizer.ParseVocabulary(Encoding.UTF8.GetBytes(vocabulary), settings is null ? null : (ReadOnlyMemory<byte>?)Encoding.UTF8.GetBytes(settings)));
        Assert.Equal(ErrorCodes.BadTokenizer, error.Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ParseVocabulary_withoutBasicTokenizer_isMP5032() =>
        Assert.Equal(ErrorCodes.TokenizerNotSupported, Assert.Throws<ModelPackException>(() => FromVocabulary("""{"do_basic_tokenize":false}""")).Code);

    [Fact]
    public void ParseVocabulary_linesOfWindows_areTheSame() =>
        Assert.Equal(FromVocabulary().Encode("hello").AsEnumerable(), WordPieceTokenizer.ParseVocabulary(Encoding.UTF8.GetBytes(string.Join("\r\n", Pieces))).Encode("hello"));

    /// <summary>One of each kind: a letter with two marks, a letter that is decomposed to two, a range, an ideograph outside the first plane, a syllable of Korean with and without an end, what has no decomposition.</summary>
    [Theory]
    [InlineData("\u1EA4\u00C5\u212B", "AAA")]
    [InlineData("\u09CB", "\u09C7\u09BE")]
    [InlineData("\u0101\u0103\u0105", "aaa")]
    [InlineData("\U0002F800\uF900", "\u4E3D\u8C48")]
    [InlineData("\uD55C\uAC00", "\u1112\u1161\u11AB\u1100\u1161")]
    [InlineData("\u0439 \u304C \u00F8\u0142\u00E6\uFB01", "\u0438 \u304B \u00F8\u0142\u00E6\uFB01")]
    [InlineData("a\u0300\u0345b", "ab")]
    public void Strip_accents_leavesTheLetters(string text, string expected) => Assert.Equal(expected, Accents.Strip(text));

    /// <summary>Every character of the first plane, where the system has a Unicode library to ask.</summary>
    [Fact]
    public void Strip_everyCharacter_isFormDWithoutMarks()
    {
        if ("\u00E9".Normalize(NormalizationForm.FormD).Length == 1)
        {
            Assert.Equal("e", Accents.Strip("\u00E9"));
            return;
        }

        for (int c = 0; c <= 0xFFFF; c++)
        {
            if (Rune.IsValid(c) && Rune.GetUnicodeCategory(new Rune(c)) != System.Globalization.UnicodeCategory.OtherNotAssigned)
            {
                string text = new Rune(c).ToString();
                Assert.Equal(string.Concat(text.Normalize(NormalizationForm.FormD).EnumerateRunes().Where(r => Rune.GetUnicodeCategory(r) != System.Globalization.UnicodeCategory.NonSpacingMark)), Accents.Strip(text));
            }
        }
    }

    /// <summary>An added token with "normalized" is found in normalized text, however it is written there or in its definition; one without only as it stands.</summary>
    [Theory]
    [InlineData(true, "Caf\u00E9!", "x CAF\u00C9! y", true)]
    [InlineData(true, "cafe!", "x Cafe! y", true)]
    [InlineData(false, "Caf\u00E9!", "x Caf\u00E9! y", true)]
    [InlineData(false, "Caf\u00E9!", "x caf\u00E9! y", false)]
    [InlineData(true, "\u0301", "x \u0301 y", false)]
    public void Encode_addedToken_isFoundWhereItBelongs(bool normalized, string content, string text, bool found)
    {
        WordPieceTokenizer tokenizer = FromJson(root => root["added_tokens"]!.AsArray().Add(new JsonObject { ["id"] = 777, ["content"] = content, ["special"] = false, ["normalized"] = normalized }));
        Assert.Equal(found ? 1 : 0, tokenizer.Encode(text).Count(id => id == 777));
    }

    [Fact]
    public void VocabularySize_isAboveAllIds() => Assert.Equal(Pieces.Length, FromJson().VocabularySize);

    internal static byte[] Vocabulary() => Encoding.UTF8.GetBytes(string.Join('\n', Pieces) + "\n");

    private static WordPieceTokenizer FromVocabulary(string? settings = null) => settings is null
        ? WordPieceTokenizer.ParseVocabulary(Vocabulary())
        : WordPieceTokenizer.ParseVocabulary(Vocabulary(), Encoding.UTF8.GetBytes(settings));

    private static WordPieceTokenizer FromJson(Action<JsonObject>? change = null)
    {
        var vocabulary = new JsonObject();
        for (int id = 0; id < Pieces.Length; id++)
        {
            vocabulary[Pieces[id]] = id;
        }

        var root = new JsonObject
        {
            ["added_tokens"] = new JsonArray([.. Enumerable.Range(0, 5).Select(id => (JsonNode)new JsonObject { ["id"] = id, ["content"] = Pieces[id], ["special"] = true, ["normalized"] = false })]),
            ["normalizer"] = JsonNode.Parse("""{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true}"""),
            ["pre_tokenizer"] = JsonNode.Parse("""{"type":"BertPreTokenizer"}"""),
            ["post_processor"] = JsonNode.Parse("""{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}}],"special_tokens":{"[CLS]":{"id":"[CLS]","ids":[2]},"[SEP]":{"id":"[SEP]","ids":[3]}}}"""),
            ["decoder"] = JsonNode.Parse("""{"type":"WordPiece","prefix":"##","cleanup":true}"""),
            ["model"] = new JsonObject { ["type"] = "WordPiece", ["unk_token"] = "[UNK]", ["continuing_subword_prefix"] = "##", ["max_input_chars_per_word"] = 100, ["vocab"] = vocabulary },
        };
        change?.Invoke(root);
        return WordPieceTokenizer.Parse(Encoding.UTF8.GetBytes(root.ToJsonString()));
    }

    private static int[] Ids(string pieces) => [.. pieces.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(p => Array.IndexOf(Pieces, p))];
}
