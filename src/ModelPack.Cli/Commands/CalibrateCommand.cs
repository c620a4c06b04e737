using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack calibrate</c>.</summary>
internal static class CalibrateCommand
{
    public static Command Create(CliHost host)
    {
        var model = new Argument<string>("model") { Description = "An .onnx file or a checkpoint folder" };
        var data = new Option<string>("--data", "-d") { Description = "A token file (uint16, little-endian), a folder of .npy inputs, or one of such folders, one per sample", HelpName = "data", Required = true };
        var output = new Option<string>("--output", "-o") { Description = "The file of statistics to write, for 'compile --calibration'", HelpName = "out.safetensors", Required = true };
        var recipe = new Option<string?>("--recipe", "-r") { Description = "The recipe that will use them: its passes before quantize are run first", HelpName = "name|file.json" };
        Option<int> samples = NumberOption.Create("--samples", "Samples to use, the first ones; 0: all", 0, 0, int.MaxValue);
        Option<int> window = NumberOption.Create("--window", "Tokens per sample of a token file", 256, 2, 1 << 20);
        var noMoments = new Option<bool>("--no-moments") { Description = "Leave out second moments, which take K x K numbers per layer and which gptq needs" };
        Option<MemorySize> maxMemory = SizeOption.Create("--max-memory", "Memory for buffers", MemorySize.GiB(2));
        var command = new Command("calibrate", "Run a model on calibration data and keep the statistics of its activations") { model, data, output, recipe, samples, window, noMoments, maxMemory };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            CalibrateResult result = Calibrating.Run(
                new CalibrateRequest
                {
                    Input = session.Get(model),
                    Data = session.Get(data)!,
                    Output = session.Get(output)!,
                    Recipe = session.Get(recipe),
                    Options = new CalibrationOptions { Samples = session.Get(samples), Window = session.Get(window), NoCache = true },
                    SecondMoments = !session.Get(noMoments),
                    MaxMemoryBytes = session.Get(maxMemory).Bytes,
                    Threads = session.Threads,
                },
                session.Progress,
                session.Cancellation);
            session.Show(result, JsonOutput.Types.CalibrateResult, console => Write(console, result, session.Verbose));
            return ExitCodes.Done;
        }));
        return command;
    }

    private static void Write(IAnsiConsole console, CalibrateResult result, bool everyValue)
    {
        string window = result.Window > 0 ? $" of {Words.Count(result.Window, "token")}" : "";
        console.WriteLine($"{Words.Printable(result.Output)}  {ByteSize.Format(result.OutputBytes)}");
        console.WriteLine($"data         {Words.Printable(result.DataName)} ({result.DataKind}, xxh128 {result.DataHash}): {Words.Count(result.Samples, "sample")}{window}");
        console.WriteLine($"values       {Words.Count(result.Values.Count, "input")} of linear layers");
        console.WriteLine($"time         {Words.Seconds(result.Seconds)}");
        console.WriteLine($"peak memory  {ByteSize.Format(result.PeakMemoryBytes)}");
        if (everyValue)
        {
            console.WriteLine();
            var table = new TextTable("value", ">channels", ">vectors", ">minimum", ">maximum");
            foreach (CalibratedValue value in result.Values)
            {
                table.Add(value.Name, Words.Number(value.Channels), Words.Number(value.Vectors), Words.Number(value.Minimum), Words.Number(value.Maximum));
            }

            table.WriteTo(console);
        }
    }
}
