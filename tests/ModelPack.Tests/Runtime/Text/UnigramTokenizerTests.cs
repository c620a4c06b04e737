using System.Text;
using System.Text.Json.Nodes;
using CsCheck;
using ModelPack.Runtime.Text;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Runtime.Text;

public sealed class UnigramTokenizerTests
{
    private static readonly JsonNode Golden = JsonNode.Parse(File.ReadAllText(RepositoryTree.PathTo("tests", "ModelPack.Tests", "Runtime", "Text", "golden", "huggingface.unigram_vectors.json")))!;

    /// <summary>Normalizers, tables of characters, words, unknown characters, bytes and added tokens, by Hugging Face's own library.</summary>
    [Theory]
    [InlineData("xlm-roberta")]
    [InlineData("t5")]
    [InlineData("albert")]
    [InlineData("nmt-nfkc")]
    [InlineData("bytes")]
    public void Encode_variants_areThoseOfHuggingFace(string name)
    {
        JsonNode variant = Golden["cases"]!.AsArray().Single(c => (string)c!["name"]! == name)!;
        UnigramTokenizer tokenizer = Parse(variant["tokenizer"]!);
        Assert.Equal(160, variant["vectors"]!.AsArray().Count);
        Assert.All(variant["vectors"]!.AsArray(), v =>
        {
            string text = (string)v!["text"]!;
            if (RefusesForms(name, text))
            {
                Assert.Equal(ErrorCodes.TokenizerNotSupported, Assert.Throws<ModelPackException>(() => tokenizer.Encode(text)).Code);
            }
            else
            {
                Assert.Equal(v["ids"]!.AsArray().Select(i => (int)i!), tokenizer.Encode(text).AsEnumerable());
            }
        });
    }

    /// <summary>The best of all ways to cut a word, tried one by one. Of those with the same sum but for rounding any will do.</summary>
    [Fact]
    public void Model_cut_isTheBestOfAll() =>
        Gen.Select(Gen.String[Gen.Char["abcé"], 1, 4].Array[1, 12], Gen.Double[-9, 2].Array[12], Gen.String[Gen.Char["abcéx"], 1, 10])
            .Sample((texts, scores, word) =>
            {
                (string, double Score)[] pieces = [("<unk>", -5), .. texts.Distinct().Zip(scores)];
                var ids = new List<int>();
                new UnigramModel(pieces, unknown: 0, byteFallback: false).Encode(word, ids);
                double unknown = pieces.Min(p => p.Score) - 10;
                (List<int> Ids, double Score)[] cuts = [.. Cuts(word, pieces, unknown)];
                double best = cuts.Max(c => c.Score);
                Assert.Contains(ids, cuts.Where(c => c.Score > best - 1e-9).Select(c => c.Ids.Where((id, i) => id != 0 || i == 0 || c.Ids[i - 1] != 0).ToList()));
            }, iter: 2000);

    /// <summary>Sums that are equal: the last piece that begins first.</summary>
    [Fact]
    public void Model_ofEqualSums_takesTheOneWhoseLastPieceBeginsFirst()
    {
        var ids = new List<int>();
        new UnigramModel([("<unk>", 0), ("a", -1), ("bc", -1), ("ab", -1), ("c", -1)], 0, false).Encode("abc", ids);
        Assert.Equal([1, 2], ids);
    }

    [Fact]
    public void Encode_withoutUnknownToken_needsPieces()
    {
        UnigramTokenizer tokenizer = Small(m => m["unk_id"] = null);
        Assert.Equal([3, 1], tokenizer.Encode("cab").AsEnumerable()); // The piece covers 'c', which has none of its own.
        var error = Assert.Throws<ModelPackException>(() => tokenizer.Encode("ac"));
        Assert.Equal(ErrorCodes.TextWithoutTokens, error.Code);
        Assert.Contains("for 'ac' from U+0063 on", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Encode_pieceThatIsThereTwice_isTheLast() =>
        Assert.Equal([4], Small(m => m["vocab"]!.AsArray().Add(new JsonArray("a", -1.0))).Encode("a").AsEnumerable());

    [Fact]
    public void VocabularySize_isAboveAllIds() =>
        Assert.Equal((4, 10), (Small().VocabularySize, Parse(JsonNode.Parse("""{"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0]]},"added_tokens":[{"id":9,"content":"<a>"}]}""")!).VocabularySize));

    [Theory]
    [InlineData("vocab", "[]", 5031, "vocab is empty")]
    [InlineData("vocab", "null", 5031, "'vocab' is missing")]
    [InlineData("vocab", "{}", 5031, "not an array")]
    [InlineData("vocab", """[["a"]]""", 5031, "vocab[0] is not a pair")]
    [InlineData("vocab", """[["a",1],["b","c"]]""", 5031, "vocab[1][1] is not a number")]
    [InlineData("vocab", """[["a",1e999]]""", 5031, "vocab[0] is not a pair")]
    [InlineData("unk_id", "4", 5031, "unk_id is 4")]
    [InlineData("unk_id", "-1", 5031, "unk_id is -1")]
    [InlineData("type", "\"BPE\"", 5032, "'BPE'; only Unigram is")]
    public void Parse_damagedModel_isOneClearError(string name, string json, int code, string named)
    {
        var error = Assert.Throws<ModelPackException>(() => Small(m => m[name] = JsonNode.Parse(json)));
        Assert.Equal(code, error.Code.Number);
        Assert.Contains(named, error.Message, StringComparison.Ordinal);
        Assert.StartsWith(BytePairTokenizer.FileName, error.Message, StringComparison.Ordinal);
    }

    /// <summary>Damaged files are errors with a code, and what is read in spite of the damage encodes without a crash.</summary>
    [Fact]
    public void Parse_mutations_areKnownErrors()
    {
        JsonNode root = Golden["cases"]![0]!["tokenizer"]!.DeepClone();
        root["model"]!["vocab"] = new JsonArray(Golden["cases"]![0]!["tokenizer"]!["model"]!["vocab"]!.AsArray().Take(12).Select(p => p!.DeepClone()).ToArray());
        root["added_tokens"] = new JsonArray();
        FuzzReport report = Fuzzer.Fuzz(Encoding.UTF8.GetBytes(root.ToJsonString()), 2000, bytes => UnigramTokenizer.Parse(bytes).Encode("the ﬁ e\u0301 <s> 漢😀"));
        Assert.InRange(report.RejectedCount, 200, 2000);
        Assert.True(report.Accepted > 0);
    }

    /// <summary>Normalization forms of more than ASCII need the system's Unicode library; Nmt before makes spaces of some of it.</summary>
    private static bool RefusesForms(string name, string text) =>
        name is "albert" or "nmt-nfkc" && "e\u0301".Normalize().Length > 1 && text.Split("<MASK>").Any(p => !Ascii.IsValid(name == "albert" ? p : p.Replace('\u200B', ' ').Replace('\uFEFF', ' ').Replace('▁', ' ')));

    private static IEnumerable<(List<int> Ids, double Score)> Cuts(string word, (string Piece, double Score)[] pieces, double unknown)
    {
        if (word.Length == 0)
        {
            return [([], 0)];
        }

        var first = Enumerable.Range(0, pieces.Length).Where(i => word.StartsWith(pieces[i].Piece, StringComparison.Ordinal)).Select(i => (Id: i, pieces[i].Piece.Length, pieces[i].Score)).ToList();
        if (!first.Exists(p => p.Length == 1))
        {
            first.Add((0, 1, unknown));
        }

        return first.SelectMany(p => Cuts(word[p.Length..], pieces, unknown).Select(rest => ((List<int>)[p.Id, .. rest.Ids], p.Score + rest.Score)));
    }

    private static UnigramTokenizer Small(Action<JsonObject>? change = null)
    {
        JsonNode root = JsonNode.Parse("""{"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["b",-1],["a",-2],["ca",-3]]}}""")!;
        change?.Invoke(root["model"]!.AsObject());
        return Parse(root);
    }

    private static UnigramTokenizer Parse(JsonNode root) => UnigramTokenizer.Parse(Encoding.UTF8.GetBytes(root.ToJsonString()));
}
