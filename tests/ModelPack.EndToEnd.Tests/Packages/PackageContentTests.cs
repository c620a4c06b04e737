using System.Diagnostics;
using System.IO.Compression;
using System.Reflection.Metadata;
using System.Xml.Linq;
using ModelPack.EndToEnd.Tests.Cli;
using ModelPack.Testing;

namespace ModelPack.EndToEnd.Tests.Packages;

/// <summary>What is in the packages, and that the tool installs from its own.</summary>
[Collection(PackageTests.Name)]
public sealed class PackageContentTests(PackageFeed feed)
{
    private const long Megabyte = 1_000_000;

    [SkippableTheory]
    [InlineData("ModelPack.Runtime", "K4os.Compression.LZ4 Microsoft.ML.OnnxRuntime System.IO.Hashing System.Numerics.Tensors ZstdSharp.Port")]
    [InlineData("ModelPack.Compiler", "Google.Protobuf K4os.Compression.LZ4 Microsoft.ML.OnnxRuntime ModelPack.Runtime System.IO.Hashing System.Numerics.Tensors ZstdSharp.Port")]
    [InlineData("ModelPack.MSBuild", "")]
    public void Package_says_what_it_is_and_depends_on_what_it_needs(string id, string dependencies)
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        using ZipArchive package = ZipFile.OpenRead(feed.Package(id));
        XElement metadata = XDocument.Load(package.GetEntry(id + ".nuspec")!.Open()).Root!.Elements().Single();
        string Value(string name) => metadata.Elements().Single(e => e.Name.LocalName == name).Value;

        Assert.Equal("MIT", Value("license"));
        Assert.NotNull(package.GetEntry(Value("readme")));
        Assert.NotNull(package.GetEntry(Value("icon")));
        Assert.True(Value("description").Length > 80);
        Assert.NotEqual("", Value("tags"));
        Assert.Matches("^[0-9a-f]{40}$", metadata.Elements().Single(e => e.Name.LocalName == "repository").Attribute("commit")!.Value);
        Assert.Equal(dependencies.Split(' ', StringSplitOptions.RemoveEmptyEntries), metadata.Descendants().Where(e => e.Name.LocalName == "dependency").Select(e => e.Attribute("id")!.Value).Order(StringComparer.Ordinal));
        Assert.Equal(id == "ModelPack.MSBuild" ? "true" : null, (string?)metadata.Elements().SingleOrDefault(e => e.Name.LocalName == "developmentDependency"));
    }

    [SkippableFact]
    public void Runtime_and_compiler_hold_every_assembly_once_with_documentation_and_symbols()
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        var all = new List<string>();
        foreach (string id in new[] { "ModelPack.Runtime", "ModelPack.Compiler" })
        {
            using ZipArchive package = ZipFile.OpenRead(feed.Package(id));
            using ZipArchive symbols = ZipFile.OpenRead(feed.Package(id, ".snupkg"));
            string[] assemblies = [.. package.Entries.Where(e => e.FullName.EndsWith(".dll", StringComparison.Ordinal)).Select(e => e.FullName)];
            Assert.All(assemblies, a => Assert.NotNull(package.GetEntry(Path.ChangeExtension(a, ".xml"))));
            Assert.All(assemblies, a => Assert.NotNull(symbols.GetEntry(Path.ChangeExtension(a, ".pdb"))));
            Assert.All(assemblies, a => Assert.StartsWith("lib/net10.0/", a, StringComparison.Ordinal));
            all.AddRange(assemblies.Select(a => Path.GetFileNameWithoutExtension(a)));
        }

        string[] product = [.. RepositoryTree.Files("*.csproj", "src", "passes", "formats").Select(f => Path.GetFileNameWithoutExtension(f)).Where(p => p is not ("ModelPack.Cli" or "ModelPack.MSBuild" or "ModelPack.OrtOps.Native"))];
        Assert.Equal(product.Order(StringComparer.Ordinal), all.Order(StringComparer.Ordinal));
    }

    [SkippableFact]
    public void Native_package_has_libraries_that_a_program_in_c_runs_with()
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        Skip.IfNot(NativeLibraryTests.CanBuild, "needs Linux and gcc");
        using var folder = new TempFolder();
        ZipFile.ExtractToDirectory(feed.Package("ModelPack.OrtOps.Native"), folder["package"]);
        string libraries = Assert.Single(Directory.GetDirectories(folder["package/runtimes"]));

        Assert.Equal(["libmodelpack_ort.so", $"libmodelpack_ort.{NativeLibraryTests.Variant()}.so"], Directory.GetFiles(Path.Combine(libraries, "native")).Select(f => Path.GetFileName(f)).OrderBy(f => f.Length));
        NativeLibraryTests.RunOnce(Path.Combine(libraries, "native"));
    }

    [SkippableFact]
    public void Runtime_is_a_download_of_less_than_a_megabyte()
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);

        Assert.InRange(new FileInfo(feed.Package("ModelPack.Runtime")).Length, 1, Megabyte);
    }

    [SkippableFact]
    public void Symbols_name_their_sources_without_folders_of_the_machine_that_built_them()
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        Skip.IfNot(Environment.GetEnvironmentVariable("CI") == "true", "paths are mapped in builds of CI only");
        using ZipArchive symbols = ZipFile.OpenRead(feed.Package("ModelPack.Runtime", ".snupkg"));
        foreach (ZipArchiveEntry entry in symbols.Entries.Where(e => e.FullName.EndsWith(".pdb", StringComparison.Ordinal)))
        {
            using var bytes = new MemoryStream();
            using (Stream stream = entry.Open())
            {
                stream.CopyTo(bytes);
            }

            bytes.Position = 0;
            using MetadataReaderProvider provider = MetadataReaderProvider.FromPortablePdbStream(bytes);
            MetadataReader reader = provider.GetMetadataReader();
            string[] sources = [.. reader.Documents.Select(d => reader.GetString(reader.GetDocument(d).Name))];

            // What the compiler generated lies in the folder that the tests build in, outside the clone.
            Assert.All(sources, s => Assert.DoesNotContain(RepositoryTree.Root, s, StringComparison.Ordinal));
            Assert.Contains(sources, s => s.StartsWith("/_", StringComparison.Ordinal));
        }
    }

    [SkippableFact]
    public void Tool_installs_and_compiles_its_first_model_within_a_minute()
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        using TempFolder folder = feed.NewProjectFolder();
        SmallModel.Write(folder);
        long start = Stopwatch.GetTimestamp();

        feed.DotnetOk(folder.Path, "tool", "install", "ModelPack.Tool", "--version", feed.Version, "--tool-path", folder["tools"], "--configfile", folder["NuGet.config"]);
        using Process tool = feed.StartProgram(folder["tools/modelpack"], folder.Path, "compile", "model.onnx", "-o", "model.mpack");
        CliRun run = CliProcess.Finish(tool);

        Assert.True(run.ExitCode == 0, run.Error);
        Assert.True(File.Exists(folder["model.mpack"]));
        Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromMinutes(1), $"{Stopwatch.GetElapsedTime(start)}");
    }
}
