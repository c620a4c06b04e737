using ModelPack.Cli;

namespace ModelPack.EndToEnd.Tests.Cli;

/// <summary>The command line without the cost of a process, for tables of cases. Relative paths are seen from a folder, one call at a time.</summary>
internal static class InProcess
{
    private static readonly Lock Turn = new();

    public static (int ExitCode, string Out, string Error) Run(string folder, params string[] args)
    {
        var output = new StringWriter { NewLine = "\n" };
        var error = new StringWriter { NewLine = "\n" };
        lock (Turn)
        {
            string back = Environment.CurrentDirectory;
            Environment.CurrentDirectory = folder;
            try
            {
                int code = CommandLine.Run(args, new CliHost { Out = output, Error = error, Environment = _ => null });
                return (code, output.ToString(), error.ToString());
            }
            finally
            {
                Environment.CurrentDirectory = back;
            }
        }
    }
}
