using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.House;

public sealed class TreeTests
{
    private static readonly string[] Required =
    [
        "CHANGELOG.md", "CONTRIBUTING.md", "Directory.Build.props", "Directory.Build.targets", "Directory.Packages.props", "LICENSE",
        "ModelPack.sln", "README.md", "formats", "global.json", "passes", "samples", "src", "tests",
    ];

    /// <summary>Files that are long for a reason, with the reason.</summary>
    private static readonly Dictionary<string, string> LongFiles = new(StringComparer.Ordinal)
    {
    };

    [Fact]
    public void Top_level_holds_exactly_what_the_architecture_lists()
    {
        IEnumerable<string> entries = new DirectoryInfo(RepositoryTree.Root).EnumerateFileSystemInfos()
            .Select(e => e.Name)
            .Where(n => !n.StartsWith('.') && !IsIgnored(n))
            .Order(StringComparer.Ordinal);

        Assert.Equal(Required, entries);
    }

    [Fact]
    public void Source_files_stay_readable_in_length()
    {
        const int limit = 400;
        IEnumerable<string> tooLong = RepositoryTree.Files("*.cs", "src", "passes", "formats")
            .Select(f => (Path: RepositoryTree.Relative(f), Lines: File.ReadLines(f).Count()))
            .Where(f => f.Lines > limit && !LongFiles.ContainsKey(f.Path))
            .Select(f => $"{f.Path}: {f.Lines} lines; split it, or give the reason in {nameof(LongFiles)}");

        Findings.None(tooLong);
        Assert.All(LongFiles.Keys, f => Assert.True(File.Exists(RepositoryTree.PathTo(f)), f));
    }

    [Fact]
    public void Source_files_mention_no_machine_paths()
    {
        string[] machinePaths = ["/" + "root/", "/" + "work/", "/" + "home/", "C:\\" + "Users"];
        IEnumerable<string> hits = RepositoryTree.Files("*.*", "src", "passes", "formats", "tests", "samples")
            .Where(f => Path.GetExtension(f) is ".cs" or ".md" or ".csproj" or ".json" or ".py" or ".sh")
            .Where(f => Array.Exists(machinePaths, p => File.ReadAllText(f).Contains(p, StringComparison.Ordinal)))
            .Select(RepositoryTree.Relative);

        Findings.None(hits);
    }

    /// <summary>What .gitignore keeps out and a working copy may hold.</summary>
    private static bool IsIgnored(string name) =>
        name is "bin" or "obj" or "out" or "TestResults" or "BenchmarkDotNet.Artifacts" || name.EndsWith(".mpack", StringComparison.Ordinal)
        || name.EndsWith(".user", StringComparison.Ordinal) || name.Contains(".tmp-", StringComparison.Ordinal);
}
