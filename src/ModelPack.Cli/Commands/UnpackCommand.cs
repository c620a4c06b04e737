using System.CommandLine;
using ModelPack.Toolchain;

namespace ModelPack.Cli;

/// <summary><c>modelpack unpack</c>.</summary>
internal static class UnpackCommand
{
    /// <summary>Not an element type of dense tensors: FP8 weights as they are, with their scales.</summary>
    private const string Fp8 = "fp8";

    private static readonly string[] Types = ["f32", "bf16", "f16", Fp8];

    public static Command Create(CliHost host)
    {
        var input = new Argument<string>("artifact") { Description = "An .mpack file; - reads stdin" };
        var output = new Option<string>("--output", "-o") { Description = "The file to write; - writes stdout", HelpName = "path", Required = true };
        var dtype = new Option<string?>("--dtype") { Description = "For a compiled artifact: element type of the dense tensors, f32, bf16 or f16; fp8 keeps 128x128-scaled FP8 weights as they are", HelpName = "type" };
        dtype.CompletionSources.Add(Types);
        var command = new Command("unpack", "Give back the packed file byte for byte; a compiled artifact becomes dense tensors") { input, output, dtype };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            DType? elementType = ParseType(session.Get(dtype));
            bool fp8 = session.Get(dtype) == Fp8;
            using var source = StandardStreams.Source(session, session.Get(input));
            using var sink = StandardStreams.Sink(session, session.Get(output)!);
            PackFileResult result = FilePacking.Unpack(source.Path, sink.Path, elementType, fp8, session.Threads, session.Progress, session.Cancellation);
            sink.Complete();
            PackCommand.Report(session, result with { Input = source.Shown, Output = sink.Shown });
            return ExitCodes.Done;
        }));
        return command;
    }

    private static DType? ParseType(string? name)
    {
        if (name is null)
        {
            return null;
        }

        if (name == Fp8)
        {
            return null;
        }

        return Types.Contains(name, StringComparer.Ordinal) && DTypes.TryParse(name, out DType dtype)
            ? dtype
            : throw new UsageException($"--dtype '{name}' is not one of {string.Join(", ", Types)}");
    }
}
