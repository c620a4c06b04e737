using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack bench start</c>, not listed in help: what <c>bench model</c> starts to see what a model costs a new process.</summary>
internal static class BenchStartCommand
{
    public static Command Create(CliHost host)
    {
        var model = new Argument<string>("model") { Description = "An .mpack or .onnx file, or a checkpoint folder" };
        Option<string[]> sizes = SizesOption.Create("As for bench model");
        var weights = new WeightArguments();
        var command = new Command("start", "Load a model and run it once, as the first thing a process does") { model, sizes };
        foreach (Option option in weights.All)
        {
            command.Add(option);
        }

        command.Hidden = true;
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            ModelStart start = Benchmarking.Start(session.Get(model), session.Threads, weights.Get(session), SizesOption.Get(session, sizes));
            session.Show(start, JsonOutput.Types.ModelStart, console =>
                console.WriteLine($"load {Words.Seconds(start.LoadSeconds)}, first run {Words.Seconds(start.FirstRunSeconds)}, memory {ByteSize.Format(start.RssBytes)}"));
            return ExitCodes.Done;
        }));
        return command;
    }

    /// <summary>Runs the command in a process of its own.</summary>
    /// <exception cref="InvalidOperationException">The process failed on a model that this one could run.</exception>
    public static ModelStart InNewProcess(string model, int threads, WeightStorage weights, IReadOnlyDictionary<string, long> sizes, CancellationToken cancellation)
    {
        string library = typeof(BenchStartCommand).Assembly.Location;
        string? self = Environment.ProcessPath;
        bool hosted = self is null || Path.GetFileNameWithoutExtension(self) != CommandLine.ProgramName;
        var start = new ProcessStartInfo(hosted ? "dotnet" : self!) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in (string[])[.. hosted ? [library] : Array.Empty<string>(), "bench", "start", model, "--json", "--threads", threads.ToString(CultureInfo.InvariantCulture), .. WeightArguments.Words(weights), .. SizesOption.Words(sizes)])
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        using CancellationTokenRegistration kill = cancellation.Register(static p => ((Process)p!).Kill(), process);
        Task<string> error = process.StandardError.ReadToEndAsync(CancellationToken.None);
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        cancellation.ThrowIfCancellationRequested();
        return process.ExitCode == 0 && JsonSerializer.Deserialize(output, JsonOutput.Types.ModelStart) is ModelStart result
            ? result
            : throw new InvalidOperationException($"'bench start' ended with exit code {process.ExitCode}: {error.Result.Trim()}");
    }
}
