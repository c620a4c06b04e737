using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack tune</c>.</summary>
internal static class TuneCommand
{
    public static Command Create(CliHost host)
    {
        var model = new Argument<string>("model") { Description = "An .onnx file or a checkpoint folder; without data also a .safetensors file" };
        var output = new Option<string>("--output", "-o") { Description = "The recipe file to write; the front of best choices goes beside it as .front.json, .front.csv and .front.svg", HelpName = "recipe.json", Required = true };
        TargetArguments target = TargetArguments.Create("Target: ");
        var data = new Option<string?>("--data", "-d") { Description = "A token file (uint16, little-endian), a folder of .npy inputs, or one of such folders, on which losses are measured; without it errors of the weights decide", HelpName = "data" };
        Option<int> samples = NumberOption.Create("--samples", "Samples of the data to measure on, spread over them", 16, 1, int.MaxValue);
        Option<int> window = NumberOption.Create("--window", "Tokens per sample of a token file", 256, 2, 1 << 20);
        var candidates = new Option<string[]>("--candidate") { Description = "A number format to choose from, or factors or what is left of sparse weights in one, such as 'pivotrank(percent=75)>int8(block=128)' or 'sparse(pattern=2:4)>int6(block=128)'; repeatable. By default integers of 2 to 8 bits in blocks of 32 or 128, and nf4(block=128)", HelpName = "format" };
        var joint = new Option<bool>("--joint") { Description = "Choose among factors and sparse weights as well, beside number formats; never worse than these alone" };
        var structure = new Option<string?>("--structure") { Description = "Choose nothing: decompose one layer at a time at five shares of its parameters and measure what the model loses; the profile goes to --output as JSON, with a heat map (.svg) beside it", HelpName = "structure" };
        structure.AcceptOnlyFromAmong("lowrank", "pivotrank", "mpo", "kronecker", "tucker2", "cp");
        var sets = new Option<string[]>("--set") { Description = "Override one option of one pass, for example quantize.ends=keep. Repeatable", HelpName = "pass.option=value" };
        var cache = new Option<string?>("--cache") { Description = "Folder for measurements, from which an interrupted search goes on, or none; by default a folder of the user's cache", HelpName = "folder|none" };
        Option<MemorySize> maxMemory = SizeOption.Create("--max-memory", "Memory for buffers", MemorySize.GiB(2));
        var command = new Command("tune", "Choose an encoding for every weight, for a size or a loss, by measuring what each does to the outputs")
        {
            model, output, target.Bits, target.Size, target.Loss, structure, data, samples, window, candidates, joint, sets, cache, maxMemory,
        };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            string? profiled = session.Get(structure);
            TuneTarget? reach = target.Get(session);
            if (profiled is not null && (reach is not null || session.Get(data) is null || session.Get(candidates) is { Length: > 0 } || session.Get(joint)))
            {
                throw new UsageException("--structure needs --data, and takes neither a target nor candidates: it measures and chooses nothing");
            }

            var request = new TuneRequest
            {
                Input = session.Get(model),
                Output = session.Get(output)!,
                Target = reach ?? (profiled is null ? throw new UsageException("say what to reach: --target-bits 4.25, --target-size 0.3x or --max-loss 1%") : new TuneTarget(TuneTargetKind.Loss, 0)),
                Data = session.Get(data),
                Samples = session.Get(samples),
                Options = new CalibrationOptions { Window = session.Get(window), CacheFolder = session.Get(cache), NoCache = session.Get(cache) == "none" },
                Candidates = session.Get(candidates) ?? [],
                Joint = session.Get(joint),
                Sets = session.Get(sets) ?? [],
                MaxMemoryBytes = session.Get(maxMemory).Bytes,
                Threads = session.Threads,
            };
            if (profiled is not null)
            {
                StructureProfile profile = StructureProfiler.Run(request, profiled, session.Progress, session.Cancellation);
                session.Show(profile, JsonOutput.Types.StructureProfile, console => Write(console, profile));
                return ExitCodes.Done;
            }

            TuneResult result = Tuner.Run(request, session.Progress, session.Cancellation);
            session.Show(result, JsonOutput.Types.TuneResult, console => Write(console, result, session.Verbose));
            return ExitCodes.Done;
        }));
        return command;
    }

    private static void Write(IAnsiConsole console, StructureProfile profile)
    {
        console.WriteLine($"{Words.Printable(profile.Output)}  {profile.LossKind} when one weight alone is {profile.Structure}, by its parameters ({Words.Count(profile.Samples, "sample")} of {Words.Printable(profile.Data)})");
        console.WriteLine();
        var table = new TextTable(["tensor", "kind", .. profile.Percents.Select(p => $">{p} %")]);
        foreach (ProfiledTensor tensor in profile.Tensors)
        {
            table.Add([tensor.Name, tensor.Kind, .. tensor.Losses.Zip(tensor.Ranks, (loss, rank) => loss is double known ? $"{Words.Number(known)} (r={rank})" : "")]);
        }

        table.WriteTo(console);
        console.WriteLine();
        console.WriteLine($"time         {Words.Seconds(profile.Seconds)}");
    }

    private static void Write(IAnsiConsole console, TuneResult result, bool everyTensor)
    {
        console.WriteLine($"{Words.Printable(result.Output)}  {result.Target}: {Words.Fixed(result.BitsPerWeight, 3)} bits per weight, {ByteSize.Format(result.InputBytes)} -> {ByteSize.Format(result.OutputBytes)} before lossless coding");
        console.WriteLine();
        var table = new TextTable("front", ">bits", ">bytes", ">loss", "");
        foreach (TunePoint point in result.Front)
        {
            table.Add(point.Name, Words.Fixed(point.BitsPerWeight, 3), ByteSize.Format(point.Bytes), Words.Number(point.Loss ?? point.Predicted), point.Chosen ? "<- chosen" : "");
        }

        foreach (TunePoint point in result.Uniform)
        {
            table.Add($"all {point.Name}", Words.Fixed(point.BitsPerWeight, 3), ByteSize.Format(point.Bytes), Words.Number(point.Loss ?? point.Predicted), "");
        }

        table.WriteTo(console);
        console.WriteLine();
        if (everyTensor)
        {
            var tensors = new TextTable("tensor", "kind", "format", ">bits", ">loss");
            foreach (TunedTensor tensor in result.Tensors)
            {
                tensors.Add(tensor.Name, tensor.Kind, tensor.Format, Words.Fixed(tensor.BitsPerWeight, 3), Words.Number(tensor.Loss) + (tensor.Measured ? "" : " (estimated)"));
            }

            tensors.WriteTo(console);
            console.WriteLine();
        }
        else
        {
            var kinds = new TextTable("format", ">tensors");
            foreach (IGrouping<string, TunedTensor> group in result.Tensors.GroupBy(t => t.Format).OrderByDescending(g => g.Count()))
            {
                kinds.Add(group.Key, Words.Number(group.Count()));
            }

            kinds.WriteTo(console);
            console.WriteLine();
        }

        console.WriteLine($"loss         {Words.Number(result.Loss)} ({result.LossKind}{(result.Data is string data ? $", {Words.Count(result.Samples, "sample")} of {Words.Printable(data)}" : "")})");
        console.WriteLine($"time         {Words.Seconds(result.Seconds)}, {Words.Count(result.Measurements, "measurement")}");
    }
}
