using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack pack</c>.</summary>
internal static class PackCommand
{
    public static Command Create(CliHost host)
    {
        var input = new Argument<string>("file") { Description = "A model file: .onnx, .safetensors or .gguf, or any other; - reads stdin" };
        var output = new Option<string>("--output", "-o") { Description = "The artifact to write; - writes stdout", HelpName = "out.mpack", Required = true };
        Option<MemorySize> maxMemory = SizeOption.Create("--max-memory", "Memory for buffers", MemorySize.GiB(1));
        var against = new Option<string?>("--base") { Description = "Another version of the model (.safetensors, .onnx, a checkpoint folder, any file, or an .mpack that holds it): store what differs. Unpacking needs it again", HelpName = "file" };
        Option<string> level = LevelOption.Create();
        Option<string> target = TargetOption.Create(arithmetic: false);
        Option<bool> portable = PortableOption.Create();
        var command = new Command("pack", "Pack a model file without loss; unpack gives it back byte for byte") { input, output, against, level, maxMemory, target, portable };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            using var source = StandardStreams.Source(session, session.Get(input));
            using var sink = StandardStreams.Sink(session, session.Get(output)!);
            bool onlyPortable = session.Get(portable) || TargetProfiles.IsPortable(TargetOption.Get(session, target));
            PackFileResult result = FilePacking.Pack(
                source.Path, sink.Path, session.Threads, session.Get(maxMemory).Bytes, LevelOption.Parse(session.Get(level)), onlyPortable, session.Get(against), session.Progress, session.Cancellation);
            sink.Complete();
            Report(session, result with { Input = source.Shown, Output = sink.Shown });
            return ExitCodes.Done;
        }));
        return command;
    }

    /// <summary>The line that <c>pack</c> and <c>unpack</c> share.</summary>
    public static void Report(Session session, PackFileResult result) =>
        session.Show(result, JsonOutput.Types.PackFileResult, console =>
        {
            console.WriteLine($"{Words.Printable(result.Output)}  {ByteSize.Format(result.InputBytes)} -> {ByteSize.Format(result.OutputBytes)}  ({Words.Ratio(result.Ratio)})  {Words.Seconds(result.Seconds)}  {ByteSize.Format(result.Gbps * 1e9)}/s");
            foreach (string file in result.Files.Where(f => f != result.Output))
            {
                console.WriteLine("  " + Words.Printable(file));
            }
        });
}
