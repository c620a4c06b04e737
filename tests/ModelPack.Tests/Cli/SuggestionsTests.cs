using ModelPack.Cli;
using Xunit;

namespace ModelPack.Tests.Cli;

public sealed class SuggestionsTests
{
    private static readonly string[] Known = ["compile", "compare", "pack", "unpack", "inspect", "verify", "--recipe", "--seed"];

    [Theory]
    [InlineData("compil", "compile")]
    [InlineData("complie", "compile")]
    [InlineData("COMPILE", "compile")]
    [InlineData("inspct", "inspect")]
    [InlineData("ins", "inspect")]
    [InlineData("unpak", "unpack")]
    [InlineData("--recpie", "--recipe")]
    [InlineData("quantise-everything", null)]
    [InlineData("x", null)]
    public void Nearest_names_the_word_that_was_meant(string typed, string? expected) => Assert.Equal(expected, Suggestions.Nearest(typed, Known));

    [Theory]
    [InlineData("", "", 0)]
    [InlineData("", "abc", 3)]
    [InlineData("abc", "abc", 0)]
    [InlineData("abc", "acb", 1)]
    [InlineData("abc", "abd", 1)]
    [InlineData("abc", "ABC", 0)]
    [InlineData("kitten", "sitting", 3)]
    public void Distance_counts_edits(string a, string b, int expected) => Assert.Equal(expected, Suggestions.Distance(a, b));
}
