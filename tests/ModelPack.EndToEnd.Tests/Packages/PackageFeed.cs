using System.Diagnostics;
using ModelPack.EndToEnd.Tests.Cli;
using ModelPack.Testing;

namespace ModelPack.EndToEnd.Tests.Packages;

/// <summary>
/// The packages as users get them, made once for all tests that need them, under a version of their own and in folders of their own, so that nothing stale is used.
/// That takes a minute: tests with this fixture skip unless long tests are wanted, or <c>MODELPACK_FEED</c> names a folder with packages that are ready.
/// </summary>
public sealed class PackageFeed : IDisposable
{
    private const string ReadyFeed = "MODELPACK_FEED";
    private static readonly string[] Projects = ["ModelPack.Runtime", "ModelPack.Toolchain", "ModelPack.MSBuild", "ModelPack.Cli", "ModelPack.OrtOps.Native"];
    private readonly TempFolder _folder = new();
    private readonly Lazy<string> _feed;

    public PackageFeed()
    {
        _feed = new Lazy<string>(Pack);
    }

    /// <summary>False where tests with packages are to skip.</summary>
    public static bool Wanted => LongTests.Wanted || Environment.GetEnvironmentVariable(ReadyFeed) is { Length: > 0 };

    /// <summary>Why they skip.</summary>
    public const string SkipReason = "packs all packages first, which takes a minute; runs in .ci/run";

    /// <summary>Folder with the packages.</summary>
    public string Folder => _feed.Value;

    /// <summary>Version of all packages.</summary>
    public string Version => Path.GetFileNameWithoutExtension(Package("ModelPack.Runtime"))["ModelPack.Runtime.".Length..];

    /// <summary>The .nupkg of a package.</summary>
    public string Package(string id, string extension = ".nupkg") =>
        Directory.EnumerateFiles(Folder, id + ".*" + extension).Single(f => char.IsAsciiDigit(Path.GetFileName(f)[id.Length + 1]) && f.EndsWith(extension, StringComparison.Ordinal));

    /// <summary>A new folder in which projects find the packages.</summary>
    public TempFolder NewProjectFolder()
    {
        var folder = new TempFolder();
        folder.Write("NuGet.config", $"""
            <configuration>
              <packageSources><add key="packed" value="{Folder}" /></packageSources>
              <fallbackPackageFolders><add key="shared" value="{SharedPackages}" /></fallbackPackageFolders>
            </configuration>
            """);

        // The settings of the clone must not reach projects, wherever the temporary folder is.
        folder.Write("Directory.Build.props", "<Project />");
        folder.Write("Directory.Build.targets", "<Project />");
        folder.Write("Directory.Packages.props", "<Project />");
        return folder;
    }

    /// <summary>Runs <c>dotnet</c> in a folder, with packages of this feed unpacked beside the feed and nowhere else.</summary>
    public CliRun Dotnet(string folder, params string[] args)
    {
        using Process process = Start(folder, args);
        return CliProcess.Finish(process);
    }

    /// <summary>As <see cref="Dotnet"/>, and an exit code that is not 0 fails the test.</summary>
    public string DotnetOk(string folder, params string[] args)
    {
        CliRun run = Dotnet(folder, args);
        Assert.True(run.ExitCode == 0, $"dotnet {string.Join(' ', args)}\n{run.Out}{run.Error}");
        return run.Out;
    }

    /// <summary>Starts <c>dotnet</c> as <see cref="Dotnet"/> runs it.</summary>
    public Process Start(string folder, params string[] args) => StartProgram(CliProcess.Host, folder, args);

    /// <summary>Starts a program with the environment of <see cref="Dotnet"/>.</summary>
    public Process StartProgram(string program, string folder, params string[] args)
    {
        var start = new ProcessStartInfo(program, args)
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        start.Environment["NUGET_PACKAGES"] = _folder["packages"];
        start.Environment["DOTNET_NOLOGO"] = "true";
        start.Environment["DOTNET_CLI_UI_LANGUAGE"] = "en";
        start.Environment["DOTNET_CLI_TELEMETRY_OPTOUT"] = "true";
        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";

        // What .ci/run sets for the clone is not what users have; what the test host sets is nothing to do with them either.
        foreach (string variable in new[] { "CI", "PrecompileTool", "MSBuildSDKsPath", "MSBUILD_EXE_PATH", "MSBuildExtensionsPath", "DOTNET_HOST_PATH" })
        {
            start.Environment.Remove(variable);
        }

        return Process.Start(start)!;
    }

    public void Dispose() => _folder.Dispose();

    private static string SharedPackages =>
        Environment.GetEnvironmentVariable("NUGET_PACKAGES") is { Length: > 0 } folder ? folder : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");

    private string Pack()
    {
        if (Environment.GetEnvironmentVariable(ReadyFeed) is { Length: > 0 } ready)
        {
            return ready;
        }

        string feed = _folder["feed"];
        foreach (string project in Projects.Where(p => p != "ModelPack.OrtOps.Native" || NativeLibraryTests.CanBuild))
        {
            // Of the tool only the package for this machine, and of the native libraries the one for it: the others take minutes.
            using Process process = Process.Start(new ProcessStartInfo(CliProcess.Host,
            [
                "pack", RepositoryTree.PathTo("src", project), "-c", "Release", "-o", feed, "--artifacts-path", _folder["build"], "-v", "quiet", "-nologo",
                $"-p:Version=0.1.0-test.{Environment.ProcessId}",
                $"-p:ToolPackageRuntimeIdentifiers={System.Runtime.InteropServices.RuntimeInformation.RuntimeIdentifier}",
                $"-p:NativeVariants={NativeLibraryTests.Variant()}",
            ])
            { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true })!;
            CliRun run = CliProcess.Finish(process);
            Assert.True(run.ExitCode == 0, $"packing {project}\n{run.Out}{run.Error}");
        }

        return feed;
    }
}

/// <summary>Tests with packages run one after the other: each builds, on all cores.</summary>
[CollectionDefinition(Name)]
public sealed class PackageTests : ICollectionFixture<PackageFeed>
{
    public const string Name = "packages";
}
