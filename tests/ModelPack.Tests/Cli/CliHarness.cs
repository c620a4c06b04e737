using ModelPack.Cli;

namespace ModelPack.Tests.Cli;

/// <summary>Runs the command line inside the test process, as if stdout and stderr were redirected.</summary>
internal static class CliHarness
{
    public static (int ExitCode, string Out, string Error) Run(params string[] args)
    {
        var output = new StringWriter { NewLine = "\n" };
        var error = new StringWriter { NewLine = "\n" };
        int code = CommandLine.Run(args, new CliHost { Out = output, Error = error, Environment = _ => null });
        return (code, output.ToString(), error.ToString());
    }
}
