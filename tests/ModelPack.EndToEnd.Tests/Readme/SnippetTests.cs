using System.Text.Json.Nodes;
using ModelPack.EndToEnd.Tests.Cli;
using ModelPack.Testing;

namespace ModelPack.EndToEnd.Tests.Readme;

/// <summary>
/// What the guides beside README.md show. Lines that start the tool are run; recipes are compiled with; of lines that build projects, start servers or compile C the parts that could become wrong are looked for in what other tests build and run.
/// </summary>
public sealed class SnippetTests
{
    private const string Sample = "samples/models/tinyllama/model.onnx";

    public static TheoryData<string> Guides =>
    [
        "samples/RunModel/README.md", "samples/c/README.md", "samples/python/README.md", "samples/packages/README.md", "samples/packages/build/README.md", "samples/packages/console/README.md",
        "samples/packages/server/README.md", "samples/packages/web/README.md", "src/ModelPack.Cli/README.md",
    ];

    [Fact]
    public void Every_guide_with_commands_is_among_those_that_are_tried() => Assert.Equal(
        RepositoryTree.Files("README.md", "samples", "src", "passes").Select(RepositoryTree.Relative).Where(f => MarkdownBlocks.Of(File.ReadAllText(RepositoryTree.PathTo(f)), "sh").Count > 0).Order(StringComparer.Ordinal),
        Guides.Cast<object[]>().Select(g => (string)g[0]).Order(StringComparer.Ordinal));

    [Theory]
    [MemberData(nameof(Guides))]
    public void Commands_of_guides_do_what_they_say(string guide)
    {
        using var folder = new TempFolder();
        Directory.CreateSymbolicLink(folder["samples"], RepositoryTree.PathTo("samples"));
        File.Copy(RepositoryTree.PathTo(Sample), folder["model.onnx"]);
        File.Copy(RepositoryTree.PathTo("samples/models/tinyllama/model.safetensors"), folder["model.safetensors"]);
        if (guide.Contains("python", StringComparison.Ordinal))
        {
            Run(folder, $"modelpack compile {Sample} -o tinyllama.mpack --recipe int4");
        }

        foreach (string command in MarkdownBlocks.Of(File.ReadAllText(RepositoryTree.PathTo(guide)), "sh").SelectMany(MarkdownBlocks.Commands))
        {
            string[] words = command.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            switch (words[0])
            {
                case "modelpack":
                    Run(folder, command);
                    break;
                case "dotnet":
                    string project = words.First(w => w.StartsWith("samples/", StringComparison.Ordinal) || w.EndsWith(".sln", StringComparison.Ordinal));
                    Assert.True(project.EndsWith(".sln", StringComparison.Ordinal) ? File.Exists(RepositoryTree.PathTo(project)) : Directory.EnumerateFiles(RepositoryTree.PathTo(project), "*.csproj").Count() == 1, command);
                    Assert.All(words.Where(w => w.EndsWith(".mpack", StringComparison.Ordinal)), w => Assert.True(File.Exists(folder[w]), command));
                    break;
                case "curl":
                    var address = new Uri(words.First(w => w.StartsWith("http://", StringComparison.Ordinal)));
                    Assert.Contains($"\"{address.AbsolutePath}\"", string.Concat(Directory.EnumerateFiles(Path.GetDirectoryName(RepositoryTree.PathTo(guide))!, "*.cs").Select(File.ReadAllText)), StringComparison.Ordinal);
                    break;
                default:
                    // Scripts and sources that are in the repository; what builds with them is run by NativeLibraryTests and SampleModelTests.
                    Assert.All(words.Where(w => w.StartsWith("samples/", StringComparison.Ordinal) || w.StartsWith("src/", StringComparison.Ordinal)), w => Assert.True(File.Exists(RepositoryTree.PathTo(w)), command));
                    Assert.All(words.Where(w => w.EndsWith(".mpack", StringComparison.Ordinal) || w.EndsWith(".onnx", StringComparison.Ordinal)), w => Assert.True(File.Exists(folder[w]), command));
                    break;
            }
        }
    }

    [Fact]
    public void Package_of_the_task_shows_the_item_that_tests_build() =>
        Assert.Contains(Packages.PackedProject.DefaultItem, Assert.Single(MarkdownBlocks.Of(File.ReadAllText(RepositoryTree.PathTo("src/ModelPack.MSBuild/README.md")), "xml")), StringComparison.Ordinal);

    [Fact]
    public void Recipes_of_the_guide_are_recipes()
    {
        using var folder = new TempFolder();
        string[] blocks = [.. MarkdownBlocks.Of(File.ReadAllText(RepositoryTree.PathTo("samples/recipes/README.md")), "json")];
        Assert.True(blocks.Length >= 9);
        foreach (string block in blocks)
        {
            JsonNode shown = JsonNode.Parse(block)!;
            JsonNode recipe = shown["pass"] is null ? shown : new JsonObject { ["passes"] = new JsonArray("canonicalize", "fold-constants", shown.DeepClone(), new JsonObject { ["pass"] = "quantize", ["format"] = "int8" }) };
            File.WriteAllText(folder["recipe.json"], recipe.ToJsonString());
            CliRun run = CliProcess.RunIn(folder.Path, "compile", RepositoryTree.PathTo(Sample), "--recipe", "recipe.json", "--dry-run");

            Assert.True(run.ExitCode == 0, $"{block}\nexit code {run.ExitCode}\n{run.Out}{run.Error}");
        }
    }

    private static void Run(TempFolder folder, string command)
    {
        CliRun run = CliProcess.RunIn(folder.Path, [.. System.CommandLine.Parsing.CommandLineParser.SplitCommandLine(command).Skip(1)]);
        Assert.True(run.ExitCode == 0, $"{command}\nexit code {run.ExitCode}\n{run.Out}{run.Error}");
    }
}
