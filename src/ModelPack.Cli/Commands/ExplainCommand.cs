using System.CommandLine;
using System.Globalization;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack explain</c>.</summary>
internal static class ExplainCommand
{
    public static Command Create(CliHost host)
    {
        var file = new Argument<string>("artifact") { Description = "An .mpack file made by compile" };
        var profile = new Option<string>("--profile") { Description = "Predict times on a machine: a file made by profile -o, or a built-in name (profile --list); by default the one the artifact was compiled for", HelpName = "file|name" };
        Option<int> rows = NumberOption.Create("--rows", "Rows of activations of the predicted run: tokens at a time, 1 for generating text, many for reading it", 1, 1, 1 << 20);
        Option<string[]> sizes = SizesOption.Create("A size that the model leaves open, for memory and times, such as seq=128, or the value of an input that is one integer. Repeatable; others are 1");
        var command = new Command("explain", "Show the execution plan: the kernel of each node, why the others lost, the memory of a run, and on a known machine how long it takes") { file, profile, rows, sizes };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            HardwareProfile? machine = session.Get(profile) is string named ? HardwareProfiles.Load(named) : null;
            ExplainResult result = Inspection.Explain(session.Get(file), machine, session.Get(rows), session.Threads, SizesOption.Get(session, sizes), session.Cancellation);
            session.Show(result, JsonOutput.Types.ExplainResult, console => Write(console, result));
            return ExitCodes.Done;
        }));
        return command;
    }

    private static void Write(IAnsiConsole console, ExplainResult result)
    {
        console.WriteLine($"target {result.Target}");
        console.WriteLine();
        bool predicted = result.Predicted is not null;
        var table = new TextTable(["node", "op", "kernel", .. predicted ? [">us", "bound"] : Array.Empty<string>(), "weight"]);
        foreach (ExplainedNode node in result.Nodes)
        {
            string weight = node.Sparsity is InspectedSparsity sparsity ? $"{node.Tensor}  {sparsity}" : node.Tensor;
            string[] cost = predicted ? [node.PredictedSeconds is double seconds ? Words.Fixed(seconds * 1e6, 1) : "", node.Bound ?? ""] : [];
            table.Add([node.Name, node.Op, node.Kernel, .. cost, weight]);
        }

        table.WriteTo(console);
        WriteAccelerators(console, result);
        WriteRejected(console, result.Nodes);
        if (result.Totals.Count > 0)
        {
            console.WriteLine();
            console.WriteLine($"totals  {string.Join(", ", result.Totals.OrderBy(t => t.Key, StringComparer.Ordinal).Select(t => $"{t.Key} {t.Value}"))}");
        }

        if (result.Memory is PredictedMemory memory)
        {
            WriteMemory(console, memory);
        }

        if (result.Predicted is PredictedRun run)
        {
            string basis = run.MeasuredShare > 0 ? $"{Words.Percent(run.MeasuredShare)} of it in measured kernels" : "by bandwidth and peak arithmetic";
            console.WriteLine($"predicted on {run.Profile}, {Words.Count(run.Rows, "row")}, {Words.Count(run.Threads, "thread")}  {Words.Seconds(run.Seconds)}: products {Words.Seconds(run.ProductSeconds)} ({basis}), {Words.Count(run.OtherNodes, "other node")} {Words.Seconds(run.OtherSeconds)}");
            string energy = run.EstimatedJoules is double joules ? $", about {joules.ToString("G2", CultureInfo.InvariantCulture)} J (estimate)" : "";
            string load = run.LoadSeconds is double opening ? $", opening the model {Words.Seconds(opening)}" : "";
            console.WriteLine($"weights read {ByteSize.Format(run.WeightBytes)}, {Words.Fixed(run.Flops / 1e9, 3)} GFLOP{energy}{load}");
        }
    }

    private static void WriteMemory(IAnsiConsole console, PredictedMemory memory)
    {
        string at = memory.Sizes.Count == 0 ? "" : $" at {string.Join(", ", memory.Sizes.OrderBy(s => s.Key, StringComparer.Ordinal).Select(s => $"{s.Key} {Words.Number(s.Value)}"))}";
        string peak = memory.PeakNode.Length == 0 ? "" : $" (at once {ByteSize.Format(memory.PeakBytes)}, in {memory.PeakNode})";
        string unknown = memory.Unknown.Count == 0 ? "" : $"; {Words.Count(memory.Unknown.Count, "value")} not counted, whose size depends on data";
        console.WriteLine($"memory{at}: weights {ByteSize.Format(memory.WeightBytes)}, values of a run {ByteSize.Format(memory.ArenaBytes)}{peak}, made once {ByteSize.Format(memory.ConstantBytes)}, inputs {ByteSize.Format(memory.InputBytes)}{unknown}");
    }

    /// <summary>What runs the products on a GPU or accelerator, with a count.</summary>
    private static void WriteAccelerators(IAnsiConsole console, ExplainResult result)
    {
        IGrouping<ExplainedAlternative, ExplainedNode>[] groups = [.. result.Nodes.Where(n => n.Accelerator is not null).GroupBy(n => n.Accelerator!)];
        if (groups.Length == 0)
        {
            return;
        }

        console.WriteLine();
        var table = new TextTable($"on {result.Predicted?.Profile}, after an export", ">nodes", "because");
        foreach (IGrouping<ExplainedAlternative, ExplainedNode> group in groups)
        {
            table.Add(group.Key.Kernel, Words.Number(group.Count()), group.Key.Reason);
        }

        table.WriteTo(console);
    }

    /// <summary>Many nodes reject the same kernel for the same reason: one line each, with a count.</summary>
    private static void WriteRejected(IAnsiConsole console, IReadOnlyList<ExplainedNode> nodes)
    {
        IGrouping<(string Chosen, string Lost, string Reason), ExplainedNode>[] groups =
        [
            .. nodes.SelectMany(n => n.Alternatives.Select(a => (Key: (n.Kernel, a.Kernel, a.Reason), Node: n)))
                .GroupBy(x => x.Key, x => x.Node),
        ];
        if (groups.Length == 0)
        {
            return;
        }

        console.WriteLine();
        var table = new TextTable("chosen", "instead of", ">nodes", "because");
        foreach (IGrouping<(string Chosen, string Lost, string Reason), ExplainedNode> group in groups)
        {
            table.Add(group.Key.Chosen, group.Key.Lost, Words.Number(group.Count()), group.Key.Reason);
        }

        table.WriteTo(console);
    }
}
