using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack compare</c>.</summary>
internal static class CompareCommand
{
    /// <summary>Names of unmatched tensors that are listed without <c>--verbose</c>.</summary>
    private const int NamesShown = 8;

    public static Command Create(CliHost host)
    {
        var a = new Argument<string>("a") { Description = "A model file of any supported kind" };
        var b = new Argument<string>("b") { Description = "Another" };
        var command = new Command("compare", "Compare two model files tensor by tensor") { a, b };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            CompareResult result = Comparison.Compare(session.Get(a), session.Get(b), session.Progress, session.Cancellation);
            session.Show(result, JsonOutput.Types.CompareResult, console => Write(console, result, session.Verbose));
            return ExitCodes.Done;
        }));
        return command;
    }

    /// <summary>The tensors that differ, worst first, and how many do not.</summary>
    public static void WriteTensors(IAnsiConsole console, IReadOnlyList<ComparedTensor> tensors)
    {
        ComparedTensor[] different = [.. tensors.Where(t => !t.Identical).OrderByDescending(t => t.RelativeError ?? double.PositiveInfinity).ThenBy(t => t.Name, StringComparer.Ordinal)];
        console.WriteLine($"{Words.Count(tensors.Count, "tensor")}: {tensors.Count - different.Length} identical, {different.Length} different");
        if (different.Length == 0)
        {
            return;
        }

        console.WriteLine();
        var table = new TextTable("tensor", ">max abs error", ">rel. error", ">SQNR dB", "");
        foreach (ComparedTensor tensor in different)
        {
            table.Add(tensor.Name, Words.Number(tensor.MaxAbsError), Words.Percent(tensor.RelativeError), Words.Fixed(tensor.SqnrDb, 1), tensor.Note ?? "");
        }

        table.WriteTo(console);
    }

    private static void Write(IAnsiConsole console, CompareResult result, bool everyName)
    {
        WriteTensors(console, result.Tensors);
        WriteNames(console, "only in a", result.Missing, everyName);
        WriteNames(console, "only in b", result.Extra, everyName);
    }

    private static void WriteNames(IAnsiConsole console, string title, IReadOnlyList<string> names, bool every)
    {
        if (names.Count > 0)
        {
            int shown = every ? names.Count : Math.Min(names.Count, NamesShown);
            string rest = shown < names.Count ? $", and {names.Count - shown} more (--verbose lists all)" : "";
            console.WriteLine($"{title}: {Words.Printable(string.Join(", ", names.Take(shown)))}{rest}");
        }
    }
}
