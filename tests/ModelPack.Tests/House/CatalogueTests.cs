using System.Reflection;
using System.Text.RegularExpressions;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.House;

/// <summary>A unit that exists is registered, under one name, in a folder with its specification.</summary>
public sealed partial class CatalogueTests
{
    private static readonly Assembly Numbers = typeof(ModelPack.Numbers.NumberFormats).Assembly;
    private static readonly Assembly Structures = typeof(ModelPack.Structures.Structures).Assembly;
    private static readonly Assembly Codecs = typeof(ModelPack.Codecs.Codecs).Assembly;
    private static readonly Assembly Containers = typeof(ModelPack.Containers.Containers).Assembly;
    private static readonly Assembly Passes = typeof(ModelPack.Passes.PassCatalog).Assembly;

    [Fact]
    public void Number_formats_are_all_registered() => AssertRegistered(Numbers, ModelPack.Numbers.NumberFormats.All);

    [Fact]
    public void Structures_are_all_registered() => AssertRegistered(Structures, ModelPack.Structures.Structures.All);

    [Fact]
    public void Codecs_are_all_registered() => AssertRegistered(Codecs, ModelPack.Codecs.Codecs.All);

    [Fact]
    public void Containers_are_all_registered() => AssertRegistered(Containers, ModelPack.Containers.Containers.All);

    [Fact]
    public void Passes_are_all_registered() => AssertRegistered(Passes, ModelPack.Passes.PassCatalog.All);

    [Fact]
    public void Architectures_are_all_registered() => AssertRegistered(typeof(ModelPack.Architectures.ArchitectureCatalog).Assembly, ModelPack.Architectures.ArchitectureCatalog.All);

    [Fact]
    public void Names_are_unique_within_a_catalogue_and_usable_in_recipes()
    {
        AssertNames("number format", ModelPack.Numbers.NumberFormats.All.Select(u => u.Id));
        AssertNames("structure", ModelPack.Structures.Structures.All.Select(u => u.Id));
        AssertNames("codec", ModelPack.Codecs.Codecs.All.Select(u => u.Id));
        AssertNames("container", ModelPack.Containers.Containers.All.Select(u => u.Id));
        AssertNames("pass", ModelPack.Passes.PassCatalog.All.Select(u => u.Name));
    }

    [Fact]
    public void Encodings_names_mean_one_thing_across_number_formats_and_structures() =>
        Findings.None(ModelPack.Numbers.NumberFormats.All.Select(u => u.Id).Intersect(ModelPack.Structures.Structures.All.Select(u => u.Id)));

    [Fact]
    public void Codec_wire_ids_are_unique() =>
        Findings.None(ModelPack.Codecs.Codecs.All.GroupBy(c => c.WireId).Where(g => g.Count() > 1).Select(g => g.Key));

    [Fact]
    public void Summaries_are_one_line()
    {
        IEnumerable<(string Name, string Summary)> all =
        [
            .. ModelPack.Numbers.NumberFormats.All.Select(u => (u.Id, u.Summary)),
            .. ModelPack.Structures.Structures.All.Select(u => (u.Id, u.Summary)),
            .. ModelPack.Codecs.Codecs.All.Select(u => (u.Id, u.Summary)),
            .. ModelPack.Containers.Containers.All.Select(u => (u.Id, u.Summary)),
            .. ModelPack.Passes.PassCatalog.All.Select(u => (u.Name, u.Summary)),
            .. ModelPack.Architectures.ArchitectureCatalog.All.Select(u => (u.ClassName, u.Summary)),
        ];

        Findings.None(all.Where(u => string.IsNullOrWhiteSpace(u.Summary) || u.Summary.Length > 160 || u.Summary.Contains('\n', StringComparison.Ordinal)).Select(u => u.Name));
    }

    [Fact]
    public void Formats_and_codecs_have_a_specification_beside_their_code()
    {
        var missing = new List<string>();
        foreach ((string folder, IEnumerable<object> units) in new[]
        {
            ("numbers", ModelPack.Numbers.NumberFormats.All.Cast<object>()),
            ("structures", ModelPack.Structures.Structures.All.Cast<object>()),
            ("codecs", ModelPack.Codecs.Codecs.All.Cast<object>()),
        })
        {
            string[] sources = [.. RepositoryTree.Files("*.cs", $"formats/{folder}")];
            foreach (Type type in units.Select(u => u.GetType()).Distinct())
            {
                string source = sources.Single(f => Regex.IsMatch(File.ReadAllText(f), $@"\b(class|record|struct)\s+{Regex.Escape(type.Name)}\b"));
                string unitFolder = Path.GetDirectoryName(source)!;
                if (unitFolder == RepositoryTree.PathTo("formats", folder) || !File.Exists(Path.Combine(unitFolder, "SPEC.md")))
                {
                    missing.Add($"{RepositoryTree.Relative(source)}: {type.Name} needs a folder of its own with a SPEC.md");
                }
            }
        }

        Findings.None(missing);
    }

    [Fact]
    public void Specifications_state_their_version() =>
        Findings.None(RepositoryTree.Files("SPEC.md", "formats").Where(f => !VersionLine().IsMatch(File.ReadAllText(f))).Select(RepositoryTree.Relative));

    private static void AssertRegistered<T>(Assembly assembly, IReadOnlyList<T> registered)
        where T : class
    {
        HashSet<Type> known = [.. registered.Select(u => u.GetType())];
        IEnumerable<Type> existing = assembly.GetTypes().Where(t => t is { IsAbstract: false, IsInterface: false } && typeof(T).IsAssignableFrom(t));

        Findings.None(existing.Where(t => !known.Contains(t)).Select(t => $"{t.Name} exists and is not in its catalogue"));
    }

    private static void AssertNames(string kind, IEnumerable<string> names)
    {
        string[] all = [.. names];
        Findings.None(all.GroupBy(n => n, StringComparer.Ordinal).Where(g => g.Count() > 1).Select(g => $"{kind} '{g.Key}' is registered twice"));
        Findings.None(all.Where(n => !Name().IsMatch(n)).Select(n => $"{kind} '{n}'"));
    }

    [GeneratedRegex("^[a-z0-9][a-z0-9_.-]{0,63}$")]
    private static partial Regex Name();

    [GeneratedRegex(@"version\W{0,4}\d+", RegexOptions.IgnoreCase)]
    private static partial Regex VersionLine();
}
