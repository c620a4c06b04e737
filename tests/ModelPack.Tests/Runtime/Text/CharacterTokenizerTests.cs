using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using ModelPack.Runtime.Text;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Runtime.Text;

/// <summary>Vocabularies of SentencePiece in tokenizer.json: against the definition of byte pair encoding, written out over lists of strings.</summary>
public sealed class CharacterTokenizerTests
{
    private const string Llama2 = """
        "normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},"pre_tokenizer":null,
        "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]}}},
        "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}
        """;

    private const string Gemma = """
        "normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"},"pre_tokenizer":{"type":"Split","pattern":{"String":" "},"behavior":"MergedWithPrevious","invert":false},
        "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"}]}
        """;

    private const string Mistral = """
        "normalizer":null,"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":false},
        "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}
        """;

    private const string Words = """
        "normalizer":null,"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true},"decoder":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}
        """;

    private static readonly string[] Merges = ["▁ t", "h e", "▁t he", "l l", "▁ a", "o ll", "a b", "▁ ▁", "▁▁ ▁▁", "e ▁", "é e", "c ab", "▁ c", "▁c ab"];

    [Theory]
    [InlineData(Llama2, true, false, false)]
    [InlineData(Gemma, false, false, false)]
    [InlineData(Mistral, true, true, false)]
    [InlineData(Words, true, false, true)]
    public void Encode_isBytePairEncodingOfCharacters_withBytesForWhatHasNoToken(string sections, bool prepends, bool onlyFirst, bool split)
    {
        BytePairTokenizer tokenizer = Make(sections, out Dictionary<string, int> vocabulary);
        var random = new SplitMix(5);
        string[] bits = ["the ", "all", "cab", " ", "  ", "é", "日", "😀", "\n", "<x>", "e", "a", "b", "<s>", "▁", "tab"];
        for (int round = 0; round < 300; round++)
        {
            string text = string.Concat(Enumerable.Range(0, 1 + random.Below(9)).Select(_ => bits[random.Below(bits.Length)]));
            List<int> expected = sections == Llama2 ? [1] : [];
            bool first = true;
            foreach (string piece in Pieces(text))
            {
                if (piece is "<x>" or "<s>")
                {
                    expected.Add(piece == "<s>" ? 1 : 3);
                }
                else
                {
                    string spaced = piece.Replace(' ', '▁');
                    bool prepend = prepends && (first || !onlyFirst) && (sections == Llama2 || spaced[0] != '▁');
                    expected.AddRange(Split(prepend ? "▁" + spaced : spaced, split).SelectMany(w => Reference(w, vocabulary)));
                }

                first = false;
            }

            Assert.True(expected.SequenceEqual(tokenizer.Encode(text)), $"round {round}: '{text}'");
        }
    }

    [Theory]
    [InlineData(Llama2, "the cab é日😀 end\n x", "the cab é日😀 end\n x")]
    [InlineData(Llama2, " the", " the")]
    [InlineData(Gemma, "the cab 😀", "the cab 😀")]
    [InlineData(Gemma, " the", " the")]
    [InlineData(Mistral, "the <x>cab", "the <x>cab")]
    [InlineData(Words, "the cab", "the cab")]
    public void Decode_givesTheTextBack(string sections, string text, string expected)
    {
        BytePairTokenizer tokenizer = Make(sections, out _);
        Assert.Equal(expected, tokenizer.Decode(tokenizer.Encode(text)));
    }

    /// <summary>Text that goes on keeps the space it begins with; a character whose bytes come one by one appears with the last.</summary>
    [Fact]
    public void StreamingDecoder_goesOn()
    {
        BytePairTokenizer tokenizer = Make(Llama2, out Dictionary<string, int> vocabulary);
        var decoder = new StreamingDecoder(tokenizer);
        Assert.Equal(" the", decoder.Append(vocabulary["▁the"]));
        Assert.Equal("", decoder.Append(vocabulary["<0xC3>"]));
        Assert.Equal("é", decoder.Append(vocabulary["<0xA9>"]));
        Assert.Equal("", decoder.Append(vocabulary["<0xC3>"]));
        Assert.Equal("\uFFFD", decoder.Finish());
    }

    [Theory]
    [InlineData("\"<0x41>\"", "\"<0x4>\"", "no token <0x41>")]
    [InlineData("\"type\":\"Fuse\"", "\"type\":\"WordPiece\"", "decoder of type 'WordPiece'")]
    [InlineData("\"content\":\" \"},{\"type\":\"ByteFallback\"}", "\"content\":\"_\"},{\"type\":\"ByteFallback\"}", "decoder of type 'Replace'")]
    [InlineData("\"prepend_scheme\":\"first\"", "\"prepend_scheme\":\"last\"", "prepend_scheme 'last'")]
    [InlineData("\"replacement\":\"▁\"", "\"replacement\":\"_\"", "replacement '_'")]
    public void Parse_unsupported_isMP5032(string part, string other, string named)
    {
        string json = Text(Mistral, out _);
        Assert.Contains(part, json, StringComparison.Ordinal);
        var error = Assert.Throws<ModelPackException>(() => BytePairTokenizer.Parse(Encoding.UTF8.GetBytes(json.Replace(part, other, StringComparison.Ordinal))));
        Assert.Equal(ErrorCodes.TokenizerNotSupported, error.Code);
        Assert.Contains(named, error.Message, StringComparison.Ordinal);
    }

    private static BytePairTokenizer Make(string sections, out Dictionary<string, int> vocabulary) => BytePairTokenizer.Parse(Encoding.UTF8.GetBytes(Text(sections, out vocabulary)));

    private static string Text(string sections, out Dictionary<string, int> vocabulary)
    {
        string[] tokens =
        [
            "<unk>", "<s>", "</s>", "<x>", .. Enumerable.Range(0, 256).Select(b => string.Create(CultureInfo.InvariantCulture, $"<0x{b:X2}>")),
            "▁", "t", "h", "e", "l", "a", "o", "b", "é", "c", "n", "d", .. Merges.Select(m => m.Replace(" ", "", StringComparison.Ordinal)),
        ];
        vocabulary = tokens.Select((t, i) => (t, i)).ToDictionary(p => p.t, p => p.i, StringComparer.Ordinal);
        var vocab = new JsonObject(vocabulary.Select(p => KeyValuePair.Create(p.Key, (JsonNode?)p.Value)));
        var options = new System.Text.Json.JsonSerializerOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        string merges = string.Join(',', Merges.Select(m => $"\"{m}\""));
        return $$"""
            {"added_tokens":[{"id":1,"content":"<s>","special":true,"normalized":false},{"id":3,"content":"<x>","special":false,"normalized":false}],
             {{sections}},"model":{"type":"BPE","byte_fallback":true,"unk_token":"<unk>","fuse_unk":true,"vocab":{{vocab.ToJsonString(options)}},"merges":[{{merges}}] } }
            """;
    }

    private static IEnumerable<string> Pieces(string text)
    {
        int done = 0;
        for (int i = 0; i < text.Length; i++)
        {
            if (string.CompareOrdinal(text, i, "<x>", 0, 3) == 0 || string.CompareOrdinal(text, i, "<s>", 0, 3) == 0)
            {
                if (i > done)
                {
                    yield return text[done..i];
                }

                yield return text.Substring(i, 3);
                done = i + 3;
                i += 2;
            }
        }

        if (done < text.Length)
        {
            yield return text[done..];
        }
    }

    private static IEnumerable<string> Split(string text, bool split)
    {
        int start = 0;
        for (int i = 1; split && i < text.Length; i++)
        {
            if (text[i] == '▁')
            {
                yield return text[start..i];
                start = i;
            }
        }

        yield return text[start..];
    }

    /// <summary>The pair of lowest rank, the leftmost of equals, until there is none.</summary>
    private static IEnumerable<int> Reference(string word, Dictionary<string, int> vocabulary)
    {
        List<string> symbols = [.. word.EnumerateRunes().SelectMany(r => vocabulary.ContainsKey(r.ToString())
            ? [r.ToString()]
            : Encoding.UTF8.GetBytes(r.ToString()).Select(b => string.Create(CultureInfo.InvariantCulture, $"<0x{b:X2}>")))];
        while (true)
        {
            (int rank, int at) = Enumerable.Range(0, Math.Max(0, symbols.Count - 1)).Select(i => (Array.IndexOf(Merges, $"{symbols[i]} {symbols[i + 1]}"), i)).Where(p => p.Item1 >= 0).DefaultIfEmpty((-1, 0)).Min();
            if (rank < 0)
            {
                return symbols.Select(s => vocabulary[s]);
            }

            symbols[at] += symbols[at + 1];
            symbols.RemoveAt(at + 1);
        }
    }
}
