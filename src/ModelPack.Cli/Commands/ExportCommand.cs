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
        var packed = new Option<bool>("--packed") { Description = "For onnx: packed weights and operators of ModelPack's library for ONNX Runtime, which C, C++ and Python hosts register" };
        to.CompletionSources.Add(Kinds);
        var command = new Command("export", "Write the model for other runtimes") { input, to, output, dense, packed };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            string kind = session.Get(to)!;
            if (!Kinds.Contains(kind, StringComparer.Ordinal))
            {
                string? near = Suggestions.Nearest(kind, Kinds);
                throw new UsageException($"--to '{kind}' is not one of {string.Join(", ", Kinds)}" + (near is null ? "" : $"; did you mean '{near}'?"));
            }

            if (session.Get(dense) && session.Get(packed))
            {
                throw new UsageException("--dense and --packed exclude each other");
            }

            ExportForm form = session.Get(dense) ? ExportForm.Dense : session.Get(packed) ? ExportForm.Packed : ExportForm.Stock;
            ExportResult result = Exporting.Export(session.Get(input), kind, session.Get(output)!, form, session.Progress, session.Cancellation);
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
