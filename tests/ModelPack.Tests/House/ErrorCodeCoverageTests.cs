using System.Globalization;
using System.Reflection;
using System.Text.RegularExpressions;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.House;

/// <summary>An error code that no test provokes may never appear, or may appear with the wrong meaning.</summary>
public sealed partial class ErrorCodeCoverageTests
{
    /// <summary>Codes whose test is still owed. The list only shrinks: a code that has got its test must leave it.</summary>
    private static readonly HashSet<int> Owed = [];

    /// <summary>Codes that nothing reports yet. As above.</summary>
    private static readonly HashSet<int> Unused = [];

    private static readonly (string Name, ErrorCode Code)[] Codes =
    [
        .. typeof(ErrorCodes).GetFields(BindingFlags.Public | BindingFlags.Static)
            .Where(f => f.FieldType == typeof(ErrorCode))
            .Select(f => (f.Name, (ErrorCode)f.GetValue(null)!)),
    ];

    [Fact]
    public void Codes_are_each_provoked_by_a_test()
    {
        string[] tests = [.. RepositoryTree.Files("*.cs", "tests").Where(f => !f.EndsWith($"{nameof(ErrorCodeCoverageTests)}.cs", StringComparison.Ordinal)).Select(File.ReadAllText)];
        HashSet<int> inTables = [.. tests.SelectMany(t => NumberInTable().Matches(t)).Select(m => int.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture))];
        bool IsProvoked(string name, ErrorCode code) =>
            inTables.Contains(code.Number) || Array.Exists(tests, t => Mentions(t, $"{nameof(ErrorCodes)}.{name}") || Mentions(t, code.ToString()));

        Findings.None(Codes
            .Where(c => !Unused.Contains(c.Code.Number) && IsProvoked(c.Name, c.Code) == Owed.Contains(c.Code.Number))
            .Select(c => Owed.Contains(c.Code.Number) ? $"{c.Code} {c.Name} has a test now: take it off the list" : $"{c.Code} {c.Name} is provoked by no test"));
    }

    [Fact]
    public void Codes_are_each_used_by_the_product()
    {
        string[] product = [.. RepositoryTree.Files("*.cs", "src", "passes", "formats").Select(File.ReadAllText)];
        bool IsUsed(string name) => Array.Exists(product, t => Mentions(t, $"{nameof(ErrorCodes)}.{name}"));

        Findings.None(Codes
            .Where(c => IsUsed(c.Name) == Unused.Contains(c.Code.Number))
            .Select(c => Unused.Contains(c.Code.Number) ? $"{c.Code} {c.Name} is used now: take it off the list" : $"{c.Code} {c.Name} is declared and never reported"));
    }

    /// <summary>The whole word, so that <c>BadStream</c> is not covered by <c>BadStreamLength</c>.</summary>
    private static bool Mentions(string text, string word) => Regex.IsMatch(text, $@"\b{Regex.Escape(word)}\b");

    /// <summary>A code as a bare number in a table of cases or an assertion.</summary>
    [GeneratedRegex(@"(?:InlineData|AssertCode)\([^\r\n]*?(?<![\w.""])([1-6]\d{3})(?![\w.""])")]
    private static partial Regex NumberInTable();
}
