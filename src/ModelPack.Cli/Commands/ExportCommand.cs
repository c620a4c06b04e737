using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack export</c>.</summary>
internal static class ExportCommand
{
    private static readonly string[] Kinds = ["onnx", "safetensors"];

    public static Command Create(CliHost host)
    {
        var input = new Argument<string>("artifact") { Description = "An .mpack file made by compile" };
        var to = new Option<string>("--to") { Description = "onnx or safetensors", HelpName = "kind", Required = true };
        var output = new Option<string>("--output", "-o") { Description = "The main file to write", HelpName = "path", Required = true };
        var dense = new Option<bool>("--dense") { Description = "For onnx: dense float weights and the original operators instead of quantised ones" };
        to.CompletionSources.Add(Kinds);
        var command = new Command("export", "Write the model for runtimes that know nothing of ModelPack") { input, to, output, dense };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            string kind = session.Get(to)!;
            if (!Kinds.Contains(kind, StringComparer.Ordinal))
            {
                string? near = Suggestions.Nearest(kind, Kinds);
                throw new UsageException($"--to '{kind}' is not one of {string.Join(", ", Kinds)}" + (near is null ? "" : $"; did you mean '{near}'?"));
            }

            ExportResult result = Exporting.Export(session.Get(input), kind, session.Get(output)!, session.Get(dense), session.Progress, session.Cancellation);
            session.Show(result, JsonOutput.Types.ExportResult, console =>
            {
                foreach (string file in result.Files)
                {
                    console.WriteLine(Words.Printable(file));
                }

                console.WriteLine($"loadable by {string.Join(", ", result.LoadableBy)}  ({Words.Seconds(result.Seconds)})");
            });
            return ExitCodes.Done;
        }));
        return command;
    }
}
