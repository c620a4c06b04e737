using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using ModelPack.EndToEnd.Tests.Cli;
using ModelPack.Testing;

namespace ModelPack.EndToEnd.Tests.Packages;

/// <summary>Models compiled in the build of a project that refers to the packages, as its user sees it.</summary>
[Collection(PackageTests.Name)]
public sealed class BuildTests(PackageFeed feed)
{
    /// <summary>The item of README.md is the one that <see cref="PackedProject"/> builds.</summary>
    [Fact]
    public void Readme_shows_the_item_that_is_built() =>
        Assert.Contains(PackedProject.DefaultItem, Assert.Single(Readme.MarkdownBlocks.Of(File.ReadAllText(RepositoryTree.PathTo("README.md")), "xml")), StringComparison.Ordinal);

    /// <summary>The up-to-date check of the task, in milliseconds.</summary>
    private const double MostMilliseconds = 100;

    [SkippableFact]
    public void Build_thenRun_compilesOnceAndAgainOnlyWhenSomethingChanged()
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        using var project = new PackedProject(feed);

        Assert.Equal((0, 1), Counts(project.Build()));
        Assert.StartsWith("y [1,192] ", project.Run(), StringComparison.Ordinal);
        Assert.True(File.Exists(project["bin/Debug/net10.0/models/classifier.mpack"]));
        DateTime compiled = File.GetLastWriteTimeUtc(Assert.Single(project.Artifacts));

        (int current, int all, double milliseconds) = project.Build();
        Assert.Equal((1, 1), (current, all));
        Assert.True(milliseconds < MostMilliseconds, $"{milliseconds} ms");

        // Another time and the same bytes: read, not compiled.
        File.SetLastWriteTimeUtc(project["models/classifier.onnx"], DateTime.UtcNow.AddMinutes(-5));
        Assert.Equal((1, 1), Counts(project.Build()));
        Assert.Equal(compiled, File.GetLastWriteTimeUtc(Assert.Single(project.Artifacts)));

        // Other bytes, of the same length and at the same time.
        byte[] model = File.ReadAllBytes(project["models/classifier.onnx"]);
        DateTime time = File.GetLastWriteTimeUtc(project["models/classifier.onnx"]);
        model[^40] ^= 1;
        File.WriteAllBytes(project["models/classifier.onnx"], model);
        Assert.NotEqual(time, File.GetLastWriteTimeUtc(project["models/classifier.onnx"]));
        Assert.Equal((0, 1), Counts(project.Build()));

        // Another recipe.
        project.Write("""<PackedModel Include="models/*.onnx" Recipe="int4" />""");
        Assert.Equal((0, 1), Counts(project.Build()));
        Assert.StartsWith("y [1,192] ", project.Run(), StringComparison.Ordinal);

        // Another configuration shares what is there.
        Assert.Equal((1, 1), Counts(project.Build("-c", "Release")));

        feed.DotnetOk(project.Path, "clean");
        Assert.Empty(project.Artifacts);
        Assert.False(File.Exists(project["bin/Debug/net10.0/models/classifier.mpack"]));
    }

    [SkippableFact]
    public void Recipe_file_and_external_data_that_change_compile_the_model_again()
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        using var project = new PackedProject(feed, """<PackedModel Include="language/model.onnx" Recipe="mine.json" ClassName="Language" />""", "Console.WriteLine(Demo.Language.FileName);");
        Directory.CreateDirectory(project["language"]);
        File.Copy(SamplePaths.Model, project["language/model.onnx"]);
        File.Copy(SamplePaths.Weights, project["language/model.safetensors"]);
        File.Copy(RepositoryTree.PathTo("samples", "recipes", "int8.json"), project["mine.json"]);

        Assert.Equal((0, 1), Counts(project.Build()));
        Assert.Equal((1, 1), Counts(project.Build()));
        Assert.Equal("language/model.mpack", project.Run().Trim());

        Touch(project["language/model.safetensors"], bytes => bytes[^1] ^= 1);
        Assert.Equal((0, 1), Counts(project.Build()));
        File.WriteAllText(project["mine.json"], File.ReadAllText(project["mine.json"]) + "\n");
        Assert.Equal((0, 1), Counts(project.Build()));
    }

    [SkippableFact]
    public void Publish_carries_the_artifact_also_beside_a_single_file_and_beside_native_code()
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        Skip.IfNot(OperatingSystem.IsLinux(), "runs what it publishes for Linux");
        using var project = new PackedProject(feed);
        string rid = RuntimeInformation.RuntimeIdentifier;
        (string Kind, string[] Options)[] kinds =
        [
            ("plain", []),
            ("single", ["-r", rid, "--no-self-contained", "-p:PublishSingleFile=true"]),
            ("native", ["-r", rid, "-p:PublishAot=true", "-p:CppCompilerAndLinker=gcc", "-p:InvariantGlobalization=true"]),
        ];
        foreach ((string kind, string[] options) in kinds)
        {
            string output = project[kind];
            feed.DotnetOk(project.Path, ["publish", "-o", output, .. options]);

            Assert.True(File.Exists(Path.Combine(output, "models", "classifier.mpack")), kind);
            using Process program = kind == "plain" ? feed.Start(output, "demo.dll") : feed.StartProgram(Path.Combine(output, "demo"), output);
            CliRun run = CliProcess.Finish(program);
            Assert.True(run.ExitCode == 0 && run.Out.StartsWith("y [1,192] ", StringComparison.Ordinal), $"{kind}: {run.Out}{run.Error}");
        }

        // Three publishes and one compilation.
        Assert.Single(project.Artifacts);
        Assert.Equal((1, 1), Counts(project.Build()));
    }

    [SkippableFact]
    public void Broken_model_is_one_error_with_a_code_at_its_file_and_leaves_nothing()
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        using var project = new PackedProject(feed);
        File.WriteAllBytes(project["models/classifier.onnx"], File.ReadAllBytes(project["models/classifier.onnx"])[..5000]);

        string error = Assert.Single(project.Errors());

        Assert.StartsWith($"{project["models/classifier.onnx"]} : error MP1", error, StringComparison.Ordinal);
        Assert.Empty(project.Artifacts);
        Assert.Empty(Directory.GetDirectories(project["obj/modelpack"], "tmp-*", SearchOption.AllDirectories));
    }

    [SkippableTheory]
    [InlineData("""<PackedModel Include="models/*.onnx" Recipe="int8" MaxLoss="1%" />""", "demo.csproj : error MP6003")]
    [InlineData("""<PackedModel Include="models/*.onnx" Recipe="int8" Calibration="data" MaxLoss="little" />""", "demo.csproj : error MP6003")]
    [InlineData("""<PackedModel Include="models/*.onnx" Link="a.mpack" /><PackedModel Include="models/../models/classifier.onnx" ClassName="B" Link="a.mpack" />""", "demo.csproj : error MP6002")]
    [InlineData("""<PackedModel Include="models/*.onnx" Recipe="int2" Calibration="data" MaxLoss="0.001%" />""", "classifier.onnx : error MP6004")]
    [InlineData("""<PackedModel Include="models/none.onnx" />""", "none.onnx : error MP1001")]
    [InlineData("""<PackedModel Include="models/*.onnx" Recipe="int9000" />""", "error MP2")]
    public void Item_that_is_wrong_is_an_error_with_a_code(string item, string expected)
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        using var project = new PackedProject(feed, item);
        WriteSamples(project);

        Assert.Contains(project.Errors(), e => e.Contains(expected, StringComparison.Ordinal));
        Assert.Empty(project.Artifacts);
    }

    [SkippableFact]
    public void Loss_within_the_limit_and_warnings_are_told_with_codes()
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        using var project = new PackedProject(feed, """<PackedModel Include="models/*.onnx" Recipe="int8" Calibration="data" MaxLoss="1%" />""");
        WriteSamples(project);

        string output = feed.DotnetOk(project.Path, "build", "-v:normal");

        Assert.Contains("classifier.onnx loses 0.", output, StringComparison.Ordinal);
        Assert.Contains("classifier.onnx : warning MP6000: calibration data were given", output, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void Compiler_that_cannot_be_started_is_MP6001()
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        using var project = new PackedProject(feed);

        foreach ((string property, string expected) in new[] { ("PackedModelHost", "cannot start nowhere"), ("PackedModelTool", "modelpack ended with exit code") })
        {
            project.Write("""<PackedModel Include="models/*.onnx" />""", $"<{property}>nowhere</{property}>");
            Assert.Contains($"error MP6001: {expected}", Assert.Single(project.Errors()), StringComparison.Ordinal);
        }
    }

    [SkippableFact]
    public void DesignTimeBuild_compiles_no_model_and_knows_the_class_of_the_last_build()
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        using var project = new PackedProject(feed);
        string[] designTime = ["build", "-t:Compile", "-p:DesignTimeBuild=true", "-p:SkipCompilerExecution=true", "-p:ProvideCommandLineArgs=true", "-getItem:Compile"];
        feed.DotnetOk(project.Path, "restore");

        Assert.DoesNotContain(".g.cs\"", Generated(feed.DotnetOk(project.Path, designTime)), StringComparison.Ordinal);
        Assert.Empty(project.Artifacts);

        project.Build();
        Assert.Contains("classifier.g.cs", Generated(feed.DotnetOk(project.Path, designTime)), StringComparison.Ordinal);

        static string Generated(string items) => string.Join('\n', items.Split('\n').Where(l => l.Contains("obj/modelpack/", StringComparison.Ordinal)));
    }

    [SkippableFact]
    public void Frameworks_and_models_are_built_at_the_same_time_and_each_model_is_compiled_once()
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        using var project = new PackedProject(feed, program: "System.Console.WriteLine();");
        foreach (string name in new[] { "second", "third" })
        {
            File.Copy(project["models/classifier.onnx"], project[$"models/{name}.onnx"]);
        }

        // An older framework cannot refer to the runtime, and takes artifacts all the same.
        string text = File.ReadAllText(project["demo.csproj"])
            .Replace("<TargetFramework>net10.0</TargetFramework>", "<TargetFrameworks>net9.0;net10.0</TargetFrameworks><UseAppHost>false</UseAppHost>", StringComparison.Ordinal)
            .Replace($"""<PackageReference Include="ModelPack.Runtime" Version="{feed.Version}" />""", "", StringComparison.Ordinal);
        File.WriteAllText(project["demo.csproj"], text);

        string output = feed.DotnetOk(project.Path, "build", "-m:4");

        Assert.Equal(3, project.Artifacts.Length);
        Assert.Equal(3, output.Split('\n').Count(l => l.Contains(".onnx -> models/", StringComparison.Ordinal)));
        Assert.True(File.Exists(project["bin/Debug/net10.0/models/third.mpack"]));
        Assert.True(File.Exists(project["bin/Debug/net9.0/models/third.mpack"]));
    }

    [SkippableFact]
    public void Interrupted_build_leaves_no_part_of_an_artifact_and_the_next_one_completes()
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        Skip.If(OperatingSystem.IsWindows(), "needs POSIX signals");
        using var project = new PackedProject(feed, """<PackedModel Include="language/model.onnx" Calibration="calib.bin" TargetBits="4.25" />""", "Console.WriteLine(Demo.Model.FileName);");
        Directory.CreateDirectory(project["language"]);
        File.Copy(SamplePaths.Model, project["language/model.onnx"]);
        File.Copy(SamplePaths.Weights, project["language/model.safetensors"]);
        File.Copy(SamplePaths.CalibrationTokens, project["calib.bin"]);
        feed.DotnetOk(project.Path, "restore");

        // A terminal sends the signal to the whole group of processes that it started; setsid makes one.
        using Process build = feed.StartProgram("setsid", project.Path, CliProcess.Host, "build", "--no-restore");
        Task<string> output = build.StandardOutput.ReadToEndAsync();
        long start = Stopwatch.GetTimestamp();
        while (!Temporary().Any() && Stopwatch.GetElapsedTime(start) < TimeSpan.FromMinutes(1))
        {
            Thread.Sleep(20);
        }

        Thread.Sleep(1500);
        Assert.NotEmpty(Temporary());
        using (Process kill = Process.Start("kill", ["-INT", "--", "-" + build.Id.ToString(CultureInfo.InvariantCulture)]))
        {
            kill.WaitForExit();
        }

        Assert.True(build.WaitForExit(TimeSpan.FromSeconds(30)), "the build did not stop");
        Assert.NotEqual(0, build.ExitCode);
        Assert.Empty(Temporary());
        Assert.Empty(project.Artifacts);
        Assert.Empty(project.Intermediate("*.json"));
        Assert.DoesNotContain("MP6001", output.GetAwaiter().GetResult(), StringComparison.Ordinal);

        project.Write("""<PackedModel Include="language/model.onnx" Recipe="int8" />""");
        Assert.Equal((0, 1), Counts(project.Build()));

        IEnumerable<string> Temporary() => Directory.Exists(project["obj/modelpack"]) ? Directory.GetDirectories(project["obj/modelpack"], "tmp-*", SearchOption.AllDirectories) : [];
    }

    private static (int Current, int All) Counts((int Current, int All, double Milliseconds) build) => (build.Current, build.All);

    private static void Touch(string path, Action<byte[]> change)
    {
        byte[] bytes = File.ReadAllBytes(path);
        change(bytes);
        File.WriteAllBytes(path, bytes);
    }

    private static void WriteSamples(PackedProject project)
    {
        for (int i = 0; i < 4; i++)
        {
            TensorData values = TensorData.FromBytes(MemoryMarshal.AsBytes(Values.Weights((ulong)i, 256).AsSpan()).ToArray());
            ModelPack.NpyFile.Write(Path.Combine(Directory.CreateDirectory(project[$"data/{i}"]).FullName, "x.npy"), DType.F32, new Shape(1, 256), values);
        }
    }
}
