using System.Buffers.Binary;
using System.Text;
using ModelPack.Runtime.Text;
using Xunit;

namespace ModelPack.Tests.Runtime.Text;

public sealed class NormalizerTests
{
    [Theory]
    [InlineData("""{"type":"Lowercase"}""", "ÀBC İ", "àbc i\u0307")]
    [InlineData("""{"type":"StripAccents"}""", "e\u0301é\u20DD\u0903", "eé")]
    [InlineData("""{"type":"Strip","strip_left":true,"strip_right":false}""", " \u3000a ", "a ")]
    [InlineData("""{"type":"Strip","strip_left":false,"strip_right":true}""", " a\n", " a")]
    [InlineData("""{"type":"Strip"}""", "\ta ", "a")]
    [InlineData("""{"type":"Strip","strip_left":false,"strip_right":false}""", " a ", " a ")]
    [InlineData("""{"type":"Nmt"}""", "a\u0001\tb\u200Dc\u2581d\u007Fe\uFEFF\u00A0", "a b c de \u00A0")]
    [InlineData("""{"type":"Replace","pattern":{"Regex":" {2,}"},"content":"-"}""", "a  b c   😀  ", "a-b c-😀-")]
    [InlineData("""{"type":"Replace","pattern":{"String":"``"},"content":"\""}""", "``a`", "\"a`")]
    public void Apply_isByDefinition(string section, string text, string expected) => Assert.Equal(expected, Read(section)(text));

    /// <summary>By the system's Unicode library; without it, ASCII passes and anything else is refused.</summary>
    [Theory]
    [InlineData("""{"type":"NFD"}""", "é", "e\u0301")]
    [InlineData("""{"type":"NFKD"}""", "ﬁé", "fie\u0301")]
    [InlineData("""{"type":"NFKC"}""", "ﬁe\u0301①", "fié1")]
    public void Apply_forms_areThoseOfUnicode(string section, string text, string expected)
    {
        Assert.Equal("a b", Read(section)("a b"));
        if ("e\u0301".Normalize().Length == 1)
        {
            Assert.Equal(expected, Read(section)(text));
            return;
        }

        var error = Assert.Throws<ModelPackException>(() => Read(section)(text));
        Assert.Equal(ErrorCodes.TokenizerNotSupported, error.Code);
        Assert.Contains("in a program with invariant globalization", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"type":"Replace","pattern":{"String":""},"content":"a"}""", 5032, "Replace of nothing")]
    [InlineData("""{"type":"Replace","pattern":{"Regex":"\\w"},"content":"a"}""", 5032, @"'\w'")]
    [InlineData("""{"type":"Replace","pattern":{},"content":"a"}""", 5031, "'String' is missing")]
    [InlineData("""{"type":"Precompiled"}""", 5031, "'precompiled_charsmap' is missing")]
    [InlineData("""{"type":"Precompiled","precompiled_charsmap":"?"}""", 5051, "not base 64")]
    [InlineData("""{"type":"Precompiled","precompiled_charsmap":"AAA="}""", 5051, "2 bytes")]
    public void Read_whatIsWrong_isNamed(string section, int code, string named)
    {
        var error = Assert.Throws<ModelPackException>(() => Read(section));
        Assert.Equal((code, true), (error.Code.Number, error.Message.Contains(named, StringComparison.Ordinal)));
    }

    /// <summary>Clusters of up to 5 bytes as one, by the shortest entry that they begin with; longer ones, and what has no entry, by character.</summary>
    [Theory]
    [InlineData("ab", "xb")]
    [InlineData("e\u0301", "é")]
    [InlineData("e\u0302", "e\u0302")]
    [InlineData("a\u0301", "x")] // The cluster begins with the entry 'a', which stands for all of it.
    [InlineData("a\u0301\u0301\u0301", "x\u0301\u0301\u0301")]
    [InlineData("\r\n", "_")]
    [InlineData("漢😀", "Chinese😀")]
    [InlineData("\u00AD", "")]
    [InlineData("a\0a", "x\0x")]
    [InlineData("", "")]
    public void CharacterMap_replacesClustersAndCharacters(string text, string expected) =>
        Assert.Equal(expected, Map(CharacterMapFile.Write(("a", "x"), ("e\u0301", "é"), ("\r", "_"), ("漢", "Chinese"), ("\u00AD", "")))(text));

    [Fact]
    public void CharacterMap_damaged_isMP5051()
    {
        byte[] good = CharacterMapFile.Write(("a", "x"), ("漢", "é"));
        int trie = (int)BinaryPrimitives.ReadUInt32LittleEndian(good);
        Assert.Equal("x", Map(good)("a"));
        AssertBad(good[..(trie / 2)], $"a trie of {trie} bytes in {(trie / 2) - 4}"); // Cut off in the trie,
        AssertBad(good[..(4 + trie)], "where no text begins"); // before the texts,
        AssertBad(good[..^2], "texts that are not UTF-8"); // and within a character.
        AssertBad([0, 0, 0, 0, 65, 0], "a trie of 0 bytes");
        AssertBad([6, 0, 0, 0, 1, 2, 3, 4, 5, 6], "a trie of 6 bytes");

        byte[] outside = [.. good];
        BinaryPrimitives.WriteUInt32LittleEndian(outside.AsSpan(4), (0xFFFFu << 10) | (1 << 8));
        AssertBad(outside, "unit 0 of the trie points outside it");
    }

    private static void AssertBad(byte[] map, string named)
    {
        var error = Assert.Throws<ModelPackException>(() => Map(map));
        Assert.Equal(ErrorCodes.BadCharacterMap, error.Code);
        Assert.Contains(named, error.Message, StringComparison.Ordinal);
    }

    private static Func<string, string> Map(byte[] map) => Read($$"""{"type":"Precompiled","precompiled_charsmap":"{{Convert.ToBase64String(map)}}"}""");

    private static Func<string, string> Read(string section) => NormalizerReader.Read(Json.Parse(Encoding.UTF8.GetBytes(section), BytePairTokenizer.FileName));
}
