using System.Collections.Immutable;
using System.Text;
using System.Text.Json.Nodes;
using ModelPack.Runtime.Text;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Runtime.Text;

public sealed class BytePairTokenizerTests
{
    private const string Digits = """{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false}]}""";

    private static readonly string Llama3 = new JsonObject
    {
        ["type"] = "Sequence",
        ["pretokenizers"] = new JsonArray(
            new JsonObject { ["type"] = "Split", ["pattern"] = new JsonObject { ["Regex"] = TokenizerCase.Llama3Words }, ["behavior"] = "Isolated", ["invert"] = false },
            new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["use_regex"] = false }),
    }.ToJsonString();

    [Fact]
    public void Encode_referenceVectors_areEqual()
    {
        BytePairTokenizer tokenizer = TokenizerCase.Load();
        JsonArray vectors = JsonNode.Parse(File.ReadAllText(RepositoryTree.PathTo("tests", "ModelPack.Tests", "Runtime", "Text", "golden", "tinyllama.tokenizer_vectors.json")))!["vectors"]!.AsArray();

        Assert.Equal(5, vectors.Count);
        Assert.All(vectors, v =>
        {
            string text = (string)v!["text"]!;
            int[] ids = [.. v["ids"]!.AsArray().Select(i => (int)i!)];
            Assert.Equal(ids, tokenizer.Encode(text).AsEnumerable());
            Assert.Equal(text, tokenizer.Decode(ids));
        });
    }

    /// <summary>Words, numbers, marks, controls, letters outside the first plane and added tokens, by Hugging Face's own library.</summary>
    [Theory]
    [InlineData("plain")]
    [InlineData("prefix")]
    [InlineData("llama3")]
    [InlineData("removed")]
    [InlineData("digits1")]
    [InlineData("template")]
    [InlineData("added")]
    public void Encode_variants_areThoseOfHuggingFace(string name)
    {
        JsonNode golden = JsonNode.Parse(File.ReadAllText(RepositoryTree.PathTo("tests", "ModelPack.Tests", "Runtime", "Text", "golden", "huggingface.tokenizer_vectors.json")))!;
        JsonNode variant = golden["cases"]!.AsArray().Single(c => (string)c!["name"]! == name)!;
        BytePairTokenizer tokenizer = TokenizerCase.Load(root =>
        {
            foreach ((string section, JsonNode? json) in variant["sections"]!.AsObject())
            {
                TokenizerCase.Set(root, section, json!.DeepClone());
            }
        });

        Assert.InRange(variant["vectors"]!.AsArray().Count, 20, 24);
        Assert.All(variant["vectors"]!.AsArray(), v => Assert.Equal(v!["ids"]!.AsArray().Select(i => (int)i!), tokenizer.Encode((string)v["text"]!).AsEnumerable()));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Decode_ofEncodedUnicode_isTheText(ulong seed)
    {
        var random = new SplitMix(seed);
        BytePairTokenizer[] tokenizers = [TokenizerCase.Load(), TokenizerCase.Load("pre_tokenizer", Digits), TokenizerCase.Load("pre_tokenizer", Llama3)];
        for (int round = 0; round < 200; round++)
        {
            string text = RandomText(random, (int)(random.Next() % 60));
            Assert.All(tokenizers, t => Assert.Equal(text, t.Decode(t.Encode(text))));
        }
    }

    /// <summary>No piece ends within a character, and together they are the text.</summary>
    [Fact]
    public void StreamingDecoder_givesWholeCharacters()
    {
        BytePairTokenizer tokenizer = TokenizerCase.Load();
        const string text = "naïve 😀 漢字 \U0001D400";
        var decoder = new StreamingDecoder(tokenizer);
        var pieces = new List<string>();
        ImmutableArray<int> ids = tokenizer.Encode(text);
        foreach (int id in ids)
        {
            pieces.Add(decoder.Append(id));
        }

        Assert.Equal("", decoder.Finish());
        Assert.Contains("", pieces);
        Assert.All(pieces, p => Assert.False(p.Length > 0 && (char.IsHighSurrogate(p[^1]) || p.Contains('\uFFFD', StringComparison.Ordinal))));
        Assert.Equal(text, string.Concat(pieces));
    }

    [Fact]
    public void StreamingDecoder_endWithinACharacter_isTheReplacementCharacter()
    {
        BytePairTokenizer tokenizer = TokenizerCase.Load();
        Assert.Equal("\uFFFD", tokenizer.Decode(tokenizer.Encode("漢")[..^1]));
    }

    [Fact]
    public void Encode_specialTokenInText_isItsId_andLeftOutOfDecodedText()
    {
        BytePairTokenizer tokenizer = TokenizerCase.Load();
        ImmutableArray<int> ids = tokenizer.Encode("Hello<|endoftext|>Hello");
        Assert.Equal([.. tokenizer.Encode("Hello"), 0, .. tokenizer.Encode("Hello")], ids.AsEnumerable());
        Assert.Equal("HelloHello", tokenizer.Decode(ids));
        Assert.Equal("Hello<|endoftext|>Hello", tokenizer.Decode(ids, special: true));
    }

    [Fact]
    public void Encode_addedTokens_theLongestWinsAndTakesItsSpaces()
    {
        BytePairTokenizer tokenizer = TokenizerCase.Load("added_tokens", """
            [{"id":4096,"content":"<a>","normalized":false,"special":false},
             {"id":4097,"content":"<a><b>","normalized":false,"lstrip":true,"rstrip":true,"special":false}]
            """);
        Assert.Equal([4096], tokenizer.Encode("<a>").AsEnumerable());
        Assert.Equal([.. tokenizer.Encode("x"), 4097, .. tokenizer.Encode("y")], tokenizer.Encode("x  <a><b>\ny").AsEnumerable());
        Assert.Equal(4098, tokenizer.VocabularySize);
        Assert.Equal("<a>", tokenizer.Decode([4096]));
    }

    [Fact]
    public void Encode_addedTokenOfNormalizedText_isFoundInAnyCase()
    {
        BytePairTokenizer tokenizer = TokenizerCase.Load(root =>
        {
            root["normalizer"] = JsonNode.Parse("""{"type":"Lowercase"}""");
            root["added_tokens"] = JsonNode.Parse("""[{"id":4096,"content":"<Tag>","normalized":true,"special":false},{"id":4097,"content":"<Own>","normalized":false,"special":false}]""");
        });
        Assert.Equal([4096, 4096, 4097], tokenizer.Encode("<TAG><tag><Own>").AsEnumerable());
        Assert.DoesNotContain(4097, tokenizer.Encode("<own>"));
        Assert.Equal("<Tag>", tokenizer.Decode([4096]));
    }

    /// <summary>A letter outside the first plane is a letter for the words, not two unknown characters.</summary>
    [Fact]
    public void Split_letterOutsideTheFirstPlane_isALetter()
    {
        var words = new WordPattern(WordPattern.Gpt2);
        Assert.Equal(["a\U0001D400b", " \U0001D7CE", "😀"], words.Split("a\U0001D400b \U0001D7CE😀").Select(w => w.Text));
    }

    [Fact]
    public void Encode_llama3Words_takeNumbersInThrees()
    {
        var words = new WordPattern(TokenizerCase.Llama3Words);
        Assert.Equal(["I", "'LL", " pay", " ", "123", "45", ".\n\n", "OK"], words.Split("I'LL pay 12345.\n\nOK").Select(w => w.Text));
    }

    [Fact]
    public void Encode_individualDigits_areWordsOfTheirOwn()
    {
        BytePairTokenizer plain = TokenizerCase.Load();
        BytePairTokenizer digits = TokenizerCase.Load("pre_tokenizer", Digits);
        Assert.Equal([.. plain.Encode("a"), .. plain.Encode("1"), .. plain.Encode("8"), .. plain.Encode("b")], digits.Encode("a18b").AsEnumerable());
    }

    [Fact]
    public void Encode_template_putsTokensAround()
    {
        BytePairTokenizer tokenizer = TokenizerCase.Load("post_processor", """
            {"type":"Sequence","processors":[{"type":"ByteLevel","trim_offsets":true},{"type":"TemplateProcessing",
             "single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"</s>","type_id":0}}],
             "pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[7],"tokens":["<s>"]},"</s>":{"id":"</s>","ids":[8,9],"tokens":["</s>"]}}}]}
            """);
        Assert.Equal([7, .. TokenizerCase.Load().Encode("Hello"), 8, 9], tokenizer.Encode("Hello").AsEnumerable());
    }

    [Fact]
    public void Encode_mergesAsPairs_giveTheSame()
    {
        BytePairTokenizer tokenizer = TokenizerCase.Load(root => root["model"]!["merges"] =
            new JsonArray([.. root["model"]!["merges"]!.AsArray().Select(m => (JsonNode)new JsonArray([.. ((string)m!).Split(' ').Select(s => (JsonNode)s)]))]));
        Assert.Equal(TokenizerCase.Load().Encode("It was the best of times"), tokenizer.Encode("It was the best of times").AsEnumerable());
    }

    [Fact]
    public void Encode_ignoreMerges_takesWholeWords()
    {
        BytePairTokenizer tokenizer = TokenizerCase.Load(root =>
        {
            root["model"]!["ignore_merges"] = true;
            root["model"]!["vocab"]!["Hello"] = 4096;
        });
        Assert.Equal([4096], tokenizer.Encode("Hello").AsEnumerable());
        Assert.Equal(6, TokenizerCase.Load().Encode("Hello, world!").Length);
    }

    /// <summary>A word of half a million letters: the merging must not be quadratic.</summary>
    [Fact]
    public void Encode_longWord_isFast()
    {
        BytePairTokenizer tokenizer = TokenizerCase.Load();
        string text = string.Concat(Enumerable.Repeat("theand", 80_000));
        Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text)));
    }

    private static string RandomText(SplitMix random, int length)
    {
        var text = new StringBuilder();
        for (int i = 0; i < length; i++)
        {
            int value = (random.Next() % 4) switch
            {
                0 => (int)(random.Next() % 0x80),
                1 => (int)(random.Next() % 0x800),
                2 => (int)(random.Next() % 0xD800),
                _ => 0x10000 + (int)(random.Next() % 0x100000),
            };
            text.Append(new Rune(value));
        }

        return text.ToString();
    }
}
