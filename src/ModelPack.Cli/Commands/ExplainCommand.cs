using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack explain</c>.</summary>
internal static class ExplainCommand
{
    public static Command Create(CliHost host)
    {
        var file = new Argument<string>("artifact") { Description = "An .mpack file made by compile" };
        var command = new Command("explain", "Show the execution plan: the kernel of each node, and why the others lost") { file };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            ExplainResult result = Inspection.Explain(session.Get(file), session.Cancellation);
            session.Show(result, JsonOutput.Types.ExplainResult, console => Write(console, result));
            return ExitCodes.Done;
        }));
        return command;
    }

    private static void Write(IAnsiConsole console, ExplainResult result)
    {
        console.WriteLine($"target {result.Target}");
        console.WriteLine();
        var table = new TextTable("node", "op", "kernel", "weight");
        foreach (ExplainedNode node in result.Nodes)
        {
            table.Add(node.Name, node.Op, node.Kernel, node.Sparsity is InspectedSparsity sparsity ? $"{node.Tensor}  {sparsity}" : node.Tensor);
        }

        table.WriteTo(console);
        WriteRejected(console, result.Nodes);
        if (result.Totals.Count > 0)
        {
            console.WriteLine();
            console.WriteLine($"totals  {string.Join(", ", result.Totals.OrderBy(t => t.Key, StringComparer.Ordinal).Select(t => $"{t.Key} {t.Value}"))}");
        }
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
