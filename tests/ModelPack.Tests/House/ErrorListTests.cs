using System.Globalization;
using System.Reflection;
using System.Text;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.House;

/// <summary>The list of error codes for people is made from the catalogue.</summary>
public sealed class ErrorListTests
{
    private static readonly (int First, string Title)[] Areas =
    [
        (1000, "Reading files"), (2000, "Passes and recipes"), (3000, "Planning"), (4000, "Packing and whole operations"), (5000, "Running"), (6000, "Compiling in the build of a project"),
    ];

    /// <summary>When this fails, the message ends with the file as it should be.</summary>
    [Fact]
    public void Error_list_is_that_of_the_catalogue()
    {
        string expected = Generate();
        string actual = File.ReadAllText(RepositoryTree.PathTo("src", "ModelPack.Core", "Errors", "README.md"));

        Assert.True(expected == actual, $"src/ModelPack.Core/Errors/README.md is to be:\n{expected}");
    }

    private static string Generate()
    {
        ErrorCode[] codes =
        [
            .. typeof(ErrorCodes).GetFields(BindingFlags.Public | BindingFlags.Static).Where(f => f.FieldType == typeof(ErrorCode)).Select(f => (ErrorCode)f.GetValue(null)!).OrderBy(c => c.Number),
        ];
        var text = new StringBuilder("""
            # Error codes

            Every error is one line, `path: error MP1003: what is wrong`, in the form that MSBuild and editors know; `--json` gives code, path, tensor and offset one by one. A code has one meaning and keeps it.

            """);
        foreach ((int first, string title) in Areas)
        {
            ErrorCode[] own = [.. codes.Where(c => c.Number / 1000 == first / 1000)];
            if (own.Length > 0)
            {
                text.Append(CultureInfo.InvariantCulture, $"\n## {title}\n\n| code | means |\n|---|---|\n");
                text.AppendJoin("", own.Select(c => $"| {c} | {c.Meaning.Replace("|", "\\|", StringComparison.Ordinal)} |\n"));
            }
        }

        return text.ToString().ReplaceLineEndings("\n");
    }
}
