using ModelPack.Cli;
using Snapshooter.Xunit;
using Xunit;

namespace ModelPack.Tests.Cli;

/// <summary>A help text is part of the contract: a change shows up in review.</summary>
public sealed class HelpSnapshotTests
{
    public static TheoryData<string> CommandPaths
    {
        get
        {
            var paths = new TheoryData<string>();
            Add(CommandLine.CreateRoot(new CliHost { Out = TextWriter.Null, Error = TextWriter.Null }), paths);
            return paths;

            static void Add(System.CommandLine.Command command, TheoryData<string> paths)
            {
                paths.Add(UsageErrors.Path(command));
                foreach (System.CommandLine.Command child in command.Subcommands.Where(c => !c.Hidden))
                {
                    Add(child, paths);
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(CommandPaths))]
    public void Help_of_each_command_is_as_reviewed(string path)
    {
        string[] words = path.Split(' ');

        (int code, string output, string error) = CliHarness.Run([.. words.Skip(1), "--help"]);

        Assert.Equal(0, code);
        Assert.Equal("", error);
        string text = string.Join('\n', output.Split('\n').Select(line => line.TrimEnd()));
        Snapshot.Match(text, $"help-{string.Join('-', words)}");
    }

    [Theory]
    [MemberData(nameof(CommandPaths))]
    public void Help_of_each_command_ends_with_examples_that_parse(string path)
    {
        string[] words = path.Split(' ');
        string output = CliHarness.Run([.. words.Skip(1), "--help"]).Out;

        int start = output.IndexOf("Examples:\n", StringComparison.Ordinal);
        Assert.True(start > 0, $"'{path}' has no examples");
        System.CommandLine.RootCommand root = CommandLine.CreateRoot(new CliHost { Out = TextWriter.Null, Error = TextWriter.Null });
        foreach (string example in output[start..].Split('\n').Skip(1).Where(l => l.TrimStart().StartsWith("modelpack ", StringComparison.Ordinal)))
        {
            string arguments = example.Trim()["modelpack ".Length..].Split(" > ")[0].Split(" | ")[0];
            Assert.Null(UsageErrors.Describe(root.Parse(arguments)));
        }
    }
}
