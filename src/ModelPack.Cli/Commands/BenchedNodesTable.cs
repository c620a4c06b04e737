using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary>What <c>bench model --nodes</c> prints.</summary>
internal static class BenchedNodesTable
{
    private const string Hint = "'modelpack profile -o host.json' measures this machine, --profile host.json predicts by it";

    public static void Write(IAnsiConsole console, BenchedNodes nodes, BenchModelResult result, bool verbose)
    {
        var table = new TextTable("node", "op", "kernel", ">predicted us", ">measured us", ">ratio", ">share");
        foreach (BenchedNode node in nodes.Nodes)
        {
            string name = node.Parts.Count > 1 ? $"{node.Name} and {Words.Number(node.Parts.Count - 1)} more" : node.Name;
            table.Add(name, node.Op, node.Kernel ?? "", Words.Fixed(node.PredictedSeconds * 1e6, 1), Words.Fixed(node.MeasuredSeconds * 1e6, 1), Words.Fixed(node.Ratio, 2), Words.Percent(node.Share));
        }

        console.WriteLine();
        table.WriteTo(console);
        if (nodes.Profile is BenchedProfile profile)
        {
            console.WriteLine($"{Words.Number(nodes.Within)} of {Words.Count(nodes.Predicted.Count, "node")} above {Share(BenchedNodes.LeastShare)} of the run within {Share(BenchedNodes.Tolerance)} of the prediction, together predicted {Time(nodes.Predicted.PredictedSeconds)}, measured {Time(nodes.Predicted.MeasuredSeconds)}");
            console.WriteLine($"{Words.Number(nodes.Small.Count)} below that, predicted {Time(nodes.Small.PredictedSeconds)}, measured {Time(nodes.Small.MeasuredSeconds)}; {Words.Number(nodes.Unpredicted.Count)} without a prediction, measured {Time(nodes.Unpredicted.MeasuredSeconds)}; {Words.Number(nodes.NotRun.Count)} that ONNX Runtime computes beforehand or leaves out, predicted {Time(nodes.NotRun.PredictedSeconds)}");
            string hint = profile.Measured ? "" : $"; no kernel was measured for it: {Hint}";
            string threads = profile.Threads == result.Threads ? "" : $", measured on {Words.Number(result.Threads)}";
            console.WriteLine($"predicted for {Words.Printable(profile.Name)} ({Words.Printable(profile.Source)}), {Words.Count(profile.Threads, "thread")}{threads}{Sizes(nodes)}{hint}");
        }
        else
        {
            console.WriteLine($"{Words.Number(nodes.Unpredicted.Count)} without a prediction, measured {Time(nodes.Unpredicted.MeasuredSeconds)}: {Words.Printable(nodes.NotPredicted ?? "")}; {Hint}");
        }

        if (verbose && nodes.UnpredictedNames.Count > 0)
        {
            console.WriteLine($"without a prediction: {string.Join(", ", nodes.UnpredictedNames.Select(Words.Printable))}");
        }

        console.WriteLine($"medians of {Words.Count(nodes.Runs, "run")} with ONNX Runtime's profiler, which costs about 10 us a node and lets threads fall asleep: {Time(nodes.RunSeconds)} instead of {Words.Milliseconds(result.Model.MedianMs)} a run");
    }

    private static string Share(double share) => $"{Words.Fixed(share * 100, 0)} %";

    private static string Time(double seconds) => Words.Milliseconds(seconds * 1e3);

    private static string Sizes(BenchedNodes nodes) => nodes.Sizes.Count == 0 ? "" : $", at {string.Join(", ", nodes.Sizes.OrderBy(s => s.Key, StringComparer.Ordinal).Select(s => $"{Words.Printable(s.Key)} {Words.Number(s.Value)}"))}";
}
