using System.Reflection;
using Xunit;

namespace ModelPack.Tests.House;

/// <summary>Error codes are a promise to scripts: one number, one meaning.</summary>
public sealed class ErrorCodeTests
{
    private static readonly (string Name, ErrorCode Code)[] Codes =
    [
        .. typeof(ErrorCodes).GetFields(BindingFlags.Public | BindingFlags.Static)
            .Where(f => f.FieldType == typeof(ErrorCode))
            .Select(f => (f.Name, (ErrorCode)f.GetValue(null)!)),
    ];

    [Fact]
    public void Numbers_are_unique() =>
        Findings.None(Codes.GroupBy(c => c.Code.Number).Where(g => g.Count() > 1).Select(g => string.Join(", ", g.Select(c => $"MP{g.Key}: {c.Name}"))));

    [Fact]
    public void Numbers_lie_in_the_ranges_of_the_six_areas() =>
        Findings.None(Codes.Where(c => c.Code.Number is < 1000 or > 6999).Select(c => $"{c.Name} = {c.Code}"));

    [Fact]
    public void Meanings_are_one_short_line() =>
        Findings.None(Codes.Where(c => string.IsNullOrWhiteSpace(c.Code.Meaning) || c.Code.Meaning.Length > 120 || c.Code.Meaning.Contains('\n', StringComparison.Ordinal)).Select(c => c.Name));
}
