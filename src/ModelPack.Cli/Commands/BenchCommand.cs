using System.CommandLine;

namespace ModelPack.Cli;

/// <summary><c>modelpack bench</c>: the group of measuring commands.</summary>
internal static class BenchCommand
{
    public static Command Create(CliHost host) => new("bench", "Measure on this machine")
    {
        BenchModelCommand.Create(host),
        BenchStartCommand.Create(host),
        BenchCodecCommand.Create(host),
        BenchNumbersCommand.Create(host),
        BenchKernelsCommand.Create(host),
    };
}
