using ModelPack.Runtime.Generation;
using Xunit;

namespace ModelPack.Tests.Runtime.Generation;

public sealed class StopTextTests
{
    /// <summary>However the text is cut into pieces, what comes out is the same.</summary>
    [Theory]
    [InlineData("one STOP two", "STOP", "one ", true)]
    [InlineData("one STO", "STOP", "one STO", false)]
    [InlineData("aab", "ab", "a", true)]
    [InlineData("ababac", "abac", "ab", true)]
    [InlineData("x\n\ny", "\n\n", "x", true)]
    [InlineData("none", "STOP", "none", false)]
    public void Append_anyPieces_endBeforeTheStopString(string text, string stop, string expected, bool found)
    {
        for (int cuts = 0; cuts < 1 << (text.Length - 1); cuts++)
        {
            var stopText = new StopText([stop, "never"]);
            string given = "";
            int from = 0;
            for (int i = 1; i <= text.Length && !stopText.Found; i++)
            {
                if (i == text.Length || ((cuts >> (i - 1)) & 1) != 0)
                {
                    given += stopText.Append(text[from..i]);
                    from = i;
                }
            }

            Assert.Equal((expected, found), (given + stopText.Finish(), stopText.Found));
        }
    }

    [Fact]
    public void Append_severalStopStrings_theFirstInTheTextCounts()
    {
        var stopText = new StopText(["cd", "b"]);
        Assert.Equal("a", stopText.Append("abcd"));
        Assert.True(stopText.Found);
    }

    [Fact]
    public void Append_withoutStopStrings_passes() => Assert.Equal("abc", new StopText([]).Append("abc"));
}
