using System.CommandLine;
using System.CommandLine.Invocation;

namespace ModelPack.Cli;

/// <summary><c>--version</c>.</summary>
internal sealed class VersionAction : SynchronousCommandLineAction
{
    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        parseResult.InvocationConfiguration.Output.WriteLine($"{CommandLine.ProgramName} {CommandLine.Version}");
        return ExitCodes.Done;
    }
}
