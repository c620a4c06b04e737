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
        var against = new Option<string?>("--base") { Description = "The base that the file was packed against", HelpName = "file" };
        var dtype = new Option<string?>("--dtype") { Description = "For a compiled artifact, or with --tensor: element type of the dense tensors, f32, bf16 or f16; fp8 keeps 128x128-scaled FP8 weights as they are", HelpName = "type" };
        dtype.CompletionSources.Add(Types);
        var tensors = new Option<string[]>("--tensor") { Description = "Only this tensor, reading no more of the artifact than it needs. Repeatable. Written as .safetensors, as .npy or as its bytes alone, by the output's ending (.npy, .bin)", HelpName = "name" };
        Option<RowSlice?> rows = RowsOption.Create("With --tensor: only these rows of the first axis, the end excluded");
        var command = new Command("unpack", "Give back the packed file byte for byte; a compiled artifact becomes dense tensors") { input, output, against, dtype, tensors, rows };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            DType? elementType = ParseType(session.Get(dtype));
            bool fp8 = session.Get(dtype) == Fp8;
            string[] names = session.Get(tensors) ?? [];
            RowSlice? slice = session.Get(rows);
            CheckTensors(names, slice, session.Get(output)!, fp8);
            using var source = StandardStreams.Source(session, session.Get(input));
            using var sink = StandardStreams.Sink(session, session.Get(output)!);
            PackFileResult result = names.Length > 0
                ? Extract(source.Path, sink.Path, names, slice, elementType, session.Get(against), session)
                : FilePacking.Unpack(source.Path, sink.Path, elementType, fp8, session.Threads, session.Get(against), session.Progress, session.Cancellation);
            sink.Complete();
            PackCommand.Report(session, result with { Input = source.Shown, Output = sink.Shown });
            return ExitCodes.Done;
        }));
        return command;
    }

    private static void CheckTensors(string[] names, RowSlice? rows, string output, bool fp8)
    {
        if (rows is not null && names.Length == 0)
        {
            throw new UsageException("--rows needs --tensor: rows of which tensor?");
        }

        if (fp8 && names.Length > 0)
        {
            throw new UsageException("--dtype fp8 writes whole checkpoints; with --tensor it is f32, bf16 or f16");
        }

        if (names.Length > 1 && TensorExtraction.FormOf(output) is var form and not "safetensors")
        {
            throw new UsageException($"a .{form} file holds one tensor, not {names.Length}; write a .safetensors file");
        }
    }

    private static PackFileResult Extract(string artifact, string output, string[] names, RowSlice? rows, DType? dtype, string? against, Session session)
    {
        try
        {
            return TensorExtraction.Extract(artifact, output, names, rows is RowSlice r ? (r.First, r.End) : null, dtype, against, session.Threads, session.Progress, session.Cancellation);
        }
        catch (ModelPackException e) when (e.Code == ErrorCodes.UnknownTensor)
        {
            IReadOnlyList<string> known = TensorExtraction.Names(artifact);
            string name = names.First(n => !known.Contains(n, StringComparer.Ordinal));
            string? near = Suggestions.Nearest(name, known);
            throw new UsageException($"{Words.Printable(artifact)} has no tensor '{Words.Printable(name)}'" + (near is null ? "" : $"; did you mean '{Words.Printable(near)}'?"));
        }
    }

    private static DType? ParseType(string? name)
    {
        if (name is null or Fp8)
        {
            return null;
        }

        return Types.Contains(name, StringComparer.Ordinal) && DTypes.TryParse(name, out DType dtype)
            ? dtype
            : throw new UsageException($"--dtype '{name}' is not one of {string.Join(", ", Types)}");
    }
}
