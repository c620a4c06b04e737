using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack bench model</c>.</summary>
internal static class BenchModelCommand
{
    public static Command Create(CliHost host)
    {
        var model = new Argument<string>("model") { Description = "An .mpack or .onnx file, or a checkpoint folder" };
        var against = new Option<string?>("--against") { Description = "Another model, measured in turn with the first", HelpName = "model" };
        var history = new Option<string?>("--history") { Description = "A CSV file that the results are added to; report --bench draws it", HelpName = "file.csv" };
        var nodes = new Option<bool>("--nodes") { Description = "Also the time of every node beside the prediction, by ONNX Runtime's profiler: about 10 us a node more, so that waiting threads fall asleep and short nodes take longer on several" };
        var profile = new Option<string?>("--profile") { Description = "With --nodes, the machine to predict for: a file made by profile -o, or a built-in name; by default the one the artifact was compiled for", HelpName = "file|name" };
        Option<string[]> sizes = SizesOption.Create("A size that the model leaves open, such as seq=128, or the value of an input that is one integer. Repeatable; others are 1");
        var weights = new WeightArguments();
        var command = new Command("model", "Load time, first run, median and p90 latency, throughput and resident memory of a model, and the time of each node") { model, against, history, nodes, profile, sizes };
        foreach (Option option in weights.All)
        {
            command.Add(option);
        }

        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            WeightStorage storage = weights.Get(session);
            Dictionary<string, long> given = SizesOption.Get(session, sizes);
            if (session.IsGiven(profile) && !session.Get(nodes))
            {
                throw new UsageException("--profile is what --nodes predicts by: give both");
            }

            if (session.IsGiven(history) && given.Count > 0)
            {
                throw new UsageException("--history keeps no sizes, so that times of other sizes than 1 would be taken for those: leave --size or --history out");
            }

            HardwareProfile? machine = session.Get(profile) is string named ? HardwareProfiles.Load(named) : null;
            BenchModelResult result = Benchmarking.Model(
                session.Get(model), session.Get(against), session.Threads, storage, path => BenchStartCommand.InNewProcess(path, session.Threads, storage, given, session.Cancellation), given, session.Progress, session.Cancellation);
            if (session.Get(nodes))
            {
                result = result with { Nodes = NodeBenchmark.Measure(session.Get(model), machine, session.Threads, storage, given, session.Progress, session.Cancellation) };
            }

            if (session.Get(history) is string file)
            {
                BenchHistory.Add(file, result, TimeProvider.System);
            }

            session.Show(BenchModelDocument.Of(result), JsonOutput.Types.BenchModelDocument, console =>
            {
                var table = new TextTable("model", ">load", ">first run", ">load, new process", ">first run", ">median", ">p90", ">runs/s", ">memory");
                foreach (BenchedModel row in new[] { result.Model, result.Against }.OfType<BenchedModel>())
                {
                    table.Add(row.Path, Words.Seconds(row.LoadSeconds), Words.Seconds(row.FirstRunSeconds), Words.Seconds(row.ColdLoadSeconds ?? double.NaN), Words.Seconds(row.ColdFirstRunSeconds ?? double.NaN), Words.Milliseconds(row.MedianMs), Words.Milliseconds(row.P90Ms), Words.Number(row.RunsPerSecond), ByteSize.Format(row.RssBytes ?? 0));
                }

                table.WriteTo(console);
                if (result.Model.Residency is BenchedResidency residency)
                {
                    console.WriteLine(Describe(residency));
                }

                string speed = result.Ratio is double ratio ? $"{Words.Ratio(ratio)} as fast; " : "";
                console.WriteLine($"{speed}{result.Cpu}, {Words.Count(result.Threads, "thread")}");
                if (result.Nodes is BenchedNodes benched)
                {
                    BenchedNodesTable.Write(console, benched, result, session.Verbose);
                }
            });
            return ExitCodes.Done;
        }));
        return command;
    }

    private static string Describe(BenchedResidency residency)
    {
        string what = $"{ByteSize.Format(residency.WeightBytes)} of packed weights, {ByteSize.Format(residency.BudgetBytes)} for them: a run reads {ByteSize.Format(residency.StreamedBytes)} again";
        return residency switch
        {
            { StreamedBytes: 0 } => $"{ByteSize.Format(residency.WeightBytes)} of packed weights, all stay in memory",
            { StorageSeconds: double seconds } =>
                $"{what}, {Words.Seconds(seconds)} at the {ByteSize.Format((long)residency.StorageBytesPerSecond!)}/s of the storage: {(residency.Stalls == true ? "it waits for the storage where the system's file cache does not hold them" : "no waiting, that is less than computing takes")}",
            _ => $"{what}; the speed of the storage could not be measured",
        };
    }
}
