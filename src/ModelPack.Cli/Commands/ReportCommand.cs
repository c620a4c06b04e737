using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack report</c>.</summary>
internal static class ReportCommand
{
    public static Command Create(CliHost host)
    {
        var file = new Argument<string?>("artifact") { Description = "An .mpack file made by compile, or any file that inspect reads", Arity = ArgumentArity.ZeroOrOne };
        var output = new Option<string>("--output", "-o") { Description = "The page to write", HelpName = "report.html", Required = true };
        var against = new Option<string?>("--against") { Description = "What the artifact was made from: measures the error of every tensor", HelpName = "original" };
        var profile = new Option<string?>("--profile") { Description = "Predict times on a machine: a file made by profile -o, or a built-in name (profile --list)", HelpName = "file|name" };
        Option<int> rows = NumberOption.Create("--rows", "With a profile: rows of activations", 1, 1, 1 << 20);
        var tune = new Option<string?>("--tune") { Description = "Draw the front of a search: what tune --json printed, or the .front.json beside its recipe", HelpName = "file.json" };
        var bench = new Option<string?>("--bench") { Description = "A page of measurements instead: the file of bench model --history", HelpName = "history.csv" };
        var command = new Command("report", "Write a page that shows an artifact: sizes, encodings, errors, plan, provenance; or measurements") { file, output, against, profile, rows, tune, bench };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            string page = session.Get(output)!;
            ReportResult result = (parsed.GetValue(file), session.Get(bench)) switch
            {
                (string artifact, null) => Reports.Write(
                    new ReportRequest
                    {
                        Input = artifact,
                        Output = page,
                        Against = session.Get(against),
                        Profile = session.Get(profile) is string named ? HardwareProfiles.Load(named) : null,
                        Rows = session.Get(rows),
                        Threads = session.Threads,
                        Tune = session.Get(tune),
                    },
                    session.Progress,
                    session.Cancellation),
                (null, string history) => Reports.WriteBench(history, page),
                _ => throw new UsageException("say what the page is about: an artifact, or --bench history.csv"),
            };
            session.Show(result, JsonOutput.Types.ReportResult, console => console.WriteLine($"{Words.Printable(result.Output)}  {ByteSize.Format(result.OutputBytes)}  ({Words.Printable(string.Join(", ", result.Sections))})"));
            return ExitCodes.Done;
        }));
        return command;
    }
}
