using ModelPack.Cli;
using Xunit;

namespace ModelPack.Tests.Cli;

/// <summary>Only what a command line refers to is made of the command tree.</summary>
public sealed class CommandTreeTests
{
    public static TheoryData<string> Names => [.. CommandLine.Commands.Select(c => c.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void CreateRoot_firstWordIsACommand_makesOnlyThatOne(string name)
    {
        Assert.Equal([name], Made(name, "--json"));
    }

    [Fact]
    public void CreateRoot_version_makesNone() => Assert.Empty(Made("--version"));

    [Theory]
    [InlineData]
    [InlineData("--help")]
    [InlineData("--json", "inspect", "x.mpack")]
    [InlineData("[suggest:3]", "ins")]
    [InlineData("inspct", "x.mpack")]
    [InlineData("--version", "x.mpack")]
    public void CreateRoot_anythingElse_makesAllInTheOrderOfHelp(params string[] args) => Assert.Equal(CommandLine.Commands.Select(c => c.Name), Made(args));

    [Fact]
    public void Run_optionBeforeTheCommand_findsTheCommand()
    {
        (int code, _, string error) = CliHarness.Run("--quiet", "inspect", "no-such-file.mpack");

        Assert.Equal(1, code);
        Assert.Contains("no-such-file.mpack", error, StringComparison.Ordinal);
    }

    private static IEnumerable<string> Made(params string[] args) =>
        CommandLine.CreateRoot(new CliHost { Out = TextWriter.Null, Error = TextWriter.Null }, args).Subcommands.Select(c => c.Name);
}
