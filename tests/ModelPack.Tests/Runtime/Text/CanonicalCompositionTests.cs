using ModelPack.Runtime.Text;
using Xunit;

namespace ModelPack.Tests.Runtime.Text;

public sealed class CanonicalCompositionTests
{
    [Theory]
    [InlineData("plain, naïve, Straße — “quoted”")]
    [InlineData("Привет")]
    [InlineData("漢字かなカナ。ガ")]
    [InlineData("한국어")]
    [InlineData("😀🇩🇪")]
    public void Unchanged_composedText_passes(string text) => Assert.Equal(text, CanonicalComposition.Unchanged(text));

    /// <summary>Marks, singletons and jamo may change: without Unicode's tables nobody can tell.</summary>
    [Theory]
    [InlineData("e\u0301", "U+0301")]
    [InlineData("\u212B", "U+212B")]
    [InlineData("\u1100\u1161", "U+1100")]
    [InlineData("\uF900", "U+F900")]
    [InlineData("か\u3099", "U+3099")]
    public void Unchanged_otherText_isMP5032(string text, string named)
    {
        var error = Assert.Throws<ModelPackException>(() => CanonicalComposition.Unchanged(text));
        Assert.Equal(ErrorCodes.TokenizerNotSupported, error.Code);
        Assert.Contains(named, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Encode_withNfc_isThatOfTheText() =>
        Assert.Equal(TokenizerCase.Load().Encode("naïve 漢字"), TokenizerCase.Load("normalizer", """{"type":"NFC"}""").Encode("naïve 漢字").AsEnumerable());
}
