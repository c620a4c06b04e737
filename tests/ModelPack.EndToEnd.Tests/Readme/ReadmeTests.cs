using System.CommandLine.Parsing;
using ModelPack.EndToEnd.Tests.Cli;
using ModelPack.Testing;

namespace ModelPack.EndToEnd.Tests.Readme;

/// <summary>
/// README.md is executed. Blocks marked <c>sh</c> run in order in one folder that holds a copy of <c>samples</c>; commands that build or test the whole
/// clone must be commands of <c>.ci/run</c> instead. Blocks marked <c>csharp</c> must be lines of a sample or test that is compiled and run.
/// </summary>
public sealed class ReadmeTests
{
    private const string RunFromSource = "dotnet run --project src/ModelPack.Cli -c Release -- ";
    private const string Installed = "modelpack ";
    private static readonly string Readme = File.ReadAllText(RepositoryTree.PathTo("README.md"));
    private static readonly string CiRun = File.ReadAllText(RepositoryTree.PathTo(".ci", "run"));

    [Fact]
    public void Shell_blocks_run_as_written()
    {
        using var folder = new TempFolder();
        CopyFolder(RepositoryTree.PathTo("samples"), folder["samples"]);

        foreach (string command in ShellCommands())
        {
            string? arguments = Arguments(command);
            if (arguments is null)
            {
                Assert.Contains(command, CiRun.Split('\n').Select(WithoutWrapper));
                continue;
            }

            // The first command is run word for word by .ci/run, evaluation included; here it makes what the others need.
            string[] words = [.. CommandLineParser.SplitCommandLine(arguments)];
            int evaluation = Array.IndexOf(words, "--eval-tokens");
            words = evaluation < 0 ? words : [.. words[..evaluation], .. words[(evaluation + 2)..]];
            CliRun run = CliProcess.RunIn(folder.Path, words);

            Assert.True(run.ExitCode == 0, $"{command}\nexit code {run.ExitCode}\n{run.Out}{run.Error}");
        }
    }

    [Fact]
    public void First_command_compiles_the_sample_and_second_runs_the_tests()
    {
        List<string> commands = ShellCommands();

        Assert.StartsWith(RunFromSource + "compile samples/models/tinyllama/model.onnx", commands[0], StringComparison.Ordinal);
        Assert.StartsWith("dotnet test", commands[1], StringComparison.Ordinal);
        Assert.All(commands.Take(2), c => Assert.Contains(c, CiRun.Split('\n').Select(WithoutWrapper)));
    }

    [Fact]
    public void CSharp_blocks_are_lines_of_code_that_is_compiled()
    {
        string[] sources = [.. RepositoryTree.Files("*.cs", "samples", "tests").Select(f => Normalised(File.ReadAllText(f)))];

        Assert.All(
            new[] { "README.md", "src/ModelPack.Runtime/README.md", "src/ModelPack.Toolchain/README.md" }.SelectMany(file => MarkdownBlocks.Of(File.ReadAllText(RepositoryTree.PathTo(file)), "csharp")),
            block => Assert.True(Array.Exists(sources, s => s.Contains(Normalised(block), StringComparison.Ordinal)), $"no sample or test contains:\n{block}"));
    }

    [Fact]
    public void Links_lead_to_files_that_exist() =>
        Assert.All(
            System.Text.RegularExpressions.Regex.Matches(Readme, @"\]\(([^)#:]+)\)").Select(m => m.Groups[1].Value),
            link => Assert.True(Path.Exists(RepositoryTree.PathTo(link)), link));

    private static List<string> ShellCommands() => [.. MarkdownBlocks.Of(Readme, "sh").SelectMany(MarkdownBlocks.Commands)];

    /// <summary>The tool's arguments when a line starts the tool; null for commands about the whole clone.</summary>
    private static string? Arguments(string command) =>
        command.StartsWith(RunFromSource, StringComparison.Ordinal) ? command[RunFromSource.Length..]
        : command.StartsWith(Installed, StringComparison.Ordinal) ? command[Installed.Length..]
        : null;

    /// <summary>A line of .ci/run without the shell functions that count and report around the command.</summary>
    private static string WithoutWrapper(string line)
    {
        string command = line.Trim();
        foreach (string function in new[] { "must ", "check ", "tests " })
        {
            command = command.StartsWith(function, StringComparison.Ordinal) ? command[function.Length..] : command;
        }

        const string keepGoing = " || true";
        return command.EndsWith(keepGoing, StringComparison.Ordinal) ? command[..^keepGoing.Length] : command;
    }

    private static string Normalised(string code) => string.Join('\n', code.Split('\n').Select(l => l.Trim()).Where(l => l.Length > 0));

    private static void CopyFolder(string from, string to)
    {
        foreach (string file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories).Where(f => !f.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal)))
        {
            string target = Path.Combine(to, Path.GetRelativePath(from, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }
    }
}
