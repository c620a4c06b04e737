using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.House;

/// <summary>
/// Dependencies point one way; the compile side and the run side meet only in Core, the formats and the artifact.
/// A new project is entered here with the arrows it is meant to have.
/// </summary>
public sealed class ArchitectureTests
{
    private const string Core = "ModelPack.Core";
    private const string Numbers = "ModelPack.Numbers";
    private const string Structures = "ModelPack.Structures";
    private const string Codecs = "ModelPack.Codecs";
    private const string Pack = "ModelPack.Pack";
    private const string Kernels = "ModelPack.Kernels";
    private const string OrtOps = "ModelPack.OrtOps";
    private const string Compiler = "ModelPack.Compiler";
    private const string Passes = "ModelPack.Passes";
    private const string Containers = "ModelPack.Containers";
    private const string Architectures = "ModelPack.Architectures";
    private const string Runtime = "ModelPack.Runtime";
    private const string Toolchain = "ModelPack.Toolchain";

    /// <summary>Arrows that may exist, by project: what it may refer to directly.</summary>
    private static readonly Dictionary<string, string[]> MayReferTo = new(StringComparer.Ordinal)
    {
        [Core] = [],
        [Numbers] = [Core],
        [Structures] = [Core],
        [Codecs] = [Core],
        [Pack] = [Core, Numbers, Structures, Codecs],
        [Kernels] = [Core, Numbers, Structures],
        [OrtOps] = [Core, Kernels],
        [Compiler] = [Core, Numbers, Structures, Kernels],
        [Passes] = [Compiler, Core, Numbers, Structures],
        [Containers] = [Compiler, Core],
        [Architectures] = [Compiler, Core],
        [Runtime] = [Core, Numbers, Structures, Codecs, Pack, Kernels, OrtOps],
        [Toolchain] = [Core, Compiler, Architectures, Passes, Containers, Numbers, Structures, Codecs, Pack, Kernels, Runtime],
        ["ModelPack.Cli"] = [Toolchain],
        // Packs the tool and starts it; refers to none of its code.
        ["ModelPack.MSBuild"] = ["ModelPack.Cli"],
        // Packs what a script makes of the operators.
        ["ModelPack.OrtOps.Native"] = [],
    };

    public static TheoryData<string> Projects => [.. MayReferTo.Keys];

    [Theory]
    [MemberData(nameof(Projects))]
    public void ProjectReferences_follow_the_arrows(string name)
    {
        ProjectFile project = ProjectFile.Named(name);

        Findings.None(project.Projects.Except(MayReferTo[name]));
    }

    /// <summary>Everything in the packages but the tool, which is a program, and what runs inside MSBuild.</summary>
    [Fact]
    public void Projects_of_packages_list_their_public_interface() => Findings.None(
        MayReferTo.Keys.Except(["ModelPack.Cli", "ModelPack.MSBuild", "ModelPack.OrtOps.Native"])
            .Where(name => !File.Exists(Path.Combine(Path.GetDirectoryName(RepositoryTree.Files(name + ".csproj", "src", "formats", "passes").Single())!, "PublicAPI.Unshipped.txt"))));

    [Fact]
    public void Product_projects_are_all_entered_in_the_table_of_arrows()
    {
        IEnumerable<string> product = ProjectFile.All
            .Where(p => !p.Path.StartsWith("tests/", StringComparison.Ordinal) && !p.Path.StartsWith("samples/", StringComparison.Ordinal))
            .Select(p => p.Name);

        Assert.Equal(MayReferTo.Keys.Order(StringComparer.Ordinal), product.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Runtime_closure_holds_nothing_of_the_compile_side()
    {
        IReadOnlySet<ProjectFile> closure = ProjectFile.Named(Runtime).Closure();

        Findings.None(closure.Select(p => p.Name).Intersect([Compiler, Architectures, Passes, Containers, Toolchain, "ModelPack.Cli"]));
        Assert.DoesNotContain(closure.SelectMany(p => p.Packages), p => p.StartsWith("Google.Protobuf", StringComparison.Ordinal));
    }

    [Fact]
    public void Runtime_lock_file_resolves_no_protobuf() =>
        Assert.DoesNotContain("Google.Protobuf", File.ReadAllText(RepositoryTree.PathTo("src", "ModelPack.Runtime", "packages.lock.json")), StringComparison.Ordinal);

    [Fact]
    public void Built_runtime_assembly_loads_nothing_of_the_compile_side()
    {
        var pending = new Stack<System.Reflection.Assembly>([System.Reflection.Assembly.Load(Runtime)]);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        while (pending.TryPop(out System.Reflection.Assembly? assembly))
        {
            foreach (System.Reflection.AssemblyName reference in assembly.GetReferencedAssemblies())
            {
                if (reference.Name is string name && seen.Add(name) && name.StartsWith("ModelPack.", StringComparison.Ordinal))
                {
                    pending.Push(System.Reflection.Assembly.Load(reference));
                }
            }
        }

        Findings.None(seen.Intersect([Compiler, Architectures, Passes, Containers, Toolchain, "Google.Protobuf"]));
    }

    [Fact]
    public void Projects_are_all_in_the_solution()
    {
        string solution = File.ReadAllText(RepositoryTree.PathTo("ModelPack.sln")).Replace('\\', '/');

        Findings.None(ProjectFile.All.Where(p => !solution.Contains($"\"{p.Path}\"", StringComparison.Ordinal)).Select(p => p.Path));
    }

    [Fact]
    public void Package_versions_are_central_and_locked()
    {
        foreach (ProjectFile project in ProjectFile.All)
        {
            string path = RepositoryTree.PathTo(project.Path);
            Assert.DoesNotContain("Version=\"", File.ReadAllText(path), StringComparison.Ordinal);
            Assert.True(File.Exists(Path.Combine(Path.GetDirectoryName(path)!, "packages.lock.json")), $"{project.Path} has no lock file");
        }
    }
}
