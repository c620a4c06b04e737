using ModelPack.Compiler;
using Xunit;

namespace ModelPack.Tests.Compiler;

public sealed class GlobTests
{
    [Theory]
    [InlineData("lm_head.weight", "lm_head.weight", true)]
    [InlineData("lm_head", "lm_head.weight", false)]
    [InlineData("*.weight", "model.layers.0.weight", true)]
    [InlineData("**.weight", "model/layers/0.weight", true)]
    [InlineData("model.layers.?.*", "model.layers.7.mlp", true)]
    [InlineData("model.layers.?.*", "model.layers.17.mlp", false)]
    [InlineData("*a*b*c", "xaxbxc", true)]
    [InlineData("*a*b*c", "xaxbx", false)]
    [InlineData("*", "", true)]
    [InlineData("", "", true)]
    [InlineData("", "x", false)]
    [InlineData("?", "", false)]
    [InlineData("A", "a", false)]
    [InlineData("w[0]", "w[0]", true)]
    public void IsMatch_pattern_on_name(string pattern, string name, bool expected) => Assert.Equal(expected, Glob.IsMatch(pattern, name));

    [Fact]
    public void IsMatch_hostile_pattern_takes_no_exponential_time() =>
        Assert.False(Glob.IsMatch(string.Concat(Enumerable.Repeat("*a", 500)) + "b", new string('a', 5000)));

    [Fact]
    public void IsMatch_equals_a_recursive_definition_on_random_cases()
    {
        var random = new Random(5);
        for (int i = 0; i < 5000; i++)
        {
            string pattern = Text(random, "ab*?", 6);
            string name = Text(random, "ab", 7);
            Assert.True(Reference(pattern, name) == Glob.IsMatch(pattern, name), $"case {i}: '{pattern}' on '{name}'");
        }
    }

    private static string Text(Random random, string letters, int max) => string.Concat(Enumerable.Range(0, random.Next(max + 1)).Select(_ => letters[random.Next(letters.Length)]));

    private static bool Reference(ReadOnlySpan<char> p, ReadOnlySpan<char> n)
    {
        if (p.IsEmpty)
        {
            return n.IsEmpty;
        }

        return p[0] == '*'
            ? Reference(p[1..], n) || (!n.IsEmpty && Reference(p, n[1..]))
            : !n.IsEmpty && (p[0] == '?' || p[0] == n[0]) && Reference(p[1..], n[1..]);
    }
}
