using System.Xml.Linq;
using ModelPack.Testing;

namespace ModelPack.Tests.House;

/// <summary>What a .csproj refers to.</summary>
internal sealed record ProjectFile(string Name, string Path, IReadOnlyList<string> Projects, IReadOnlyList<string> Packages)
{
    /// <summary>Folder of projects that use the packages, as projects of users do: no part of the solution, and no central versions.</summary>
    private const string OfUsers = "samples/packages/";

    public static IReadOnlyList<ProjectFile> All { get; } =
        [.. RepositoryTree.Files("*.csproj", "src", "passes", "formats", "samples", "tests").Select(Load).Where(p => !p.Path.StartsWith(OfUsers, StringComparison.Ordinal))];

    public static ProjectFile Named(string name) =>
        All.SingleOrDefault(p => p.Name == name) ?? throw new InvalidOperationException($"no project {name}");

    /// <summary>The project itself and everything it refers to, directly or not.</summary>
    public IReadOnlySet<ProjectFile> Closure()
    {
        var seen = new HashSet<ProjectFile>();
        var pending = new Stack<ProjectFile>([this]);
        while (pending.TryPop(out ProjectFile? next))
        {
            if (seen.Add(next))
            {
                foreach (string project in next.Projects)
                {
                    pending.Push(Named(project));
                }
            }
        }

        return seen;
    }

    private static ProjectFile Load(string path)
    {
        XDocument document = XDocument.Load(path);
        IEnumerable<string> Includes(string element) => document.Descendants(element).Select(e => (string?)e.Attribute("Include") ?? "");
        return new ProjectFile(
            System.IO.Path.GetFileNameWithoutExtension(path),
            RepositoryTree.Relative(path),
            [.. Includes("ProjectReference").Select(p => System.IO.Path.GetFileNameWithoutExtension(p.Replace('\\', '/')))],
            [.. Includes("PackageReference")]);
    }
}
