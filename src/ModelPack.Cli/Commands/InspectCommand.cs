using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack inspect</c>.</summary>
internal static class InspectCommand
{
    /// <summary>Without <c>--tensors</c> only this many of the largest tensors are listed.</summary>
    private const int LargestShown = 10;

    public static Command Create(CliHost host)
    {
        var file = new Argument<string>("file") { Description = "An .onnx, .safetensors, .gguf or .mpack file, or a checkpoint folder; - reads stdin" };
        var tensors = new Option<bool>("--tensors") { Description = "List every tensor, not only the largest" };
        var tensor = new Option<string?>("--tensor") { Description = "Show one tensor with its encoding tree and streams", HelpName = "name" };
        var command = new Command("inspect", "Show what is in a model file: graph, tensors, encodings, provenance") { file, tensors, tensor };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            using var source = StandardStreams.Source(session, session.Get(file));
            InspectResult result = Inspection.Inspect(source.Path, session.Cancellation) with { Path = source.Shown };
            if (session.Get(tensor) is string name)
            {
                InspectedTensor found = Find(result, name);
                session.Show(result with { Tensors = [found] }, JsonOutput.Types.InspectResult, console => WriteTensor(console, found));
            }
            else
            {
                session.Show(result, JsonOutput.Types.InspectResult, console => Write(console, result, session.Get(tensors) || session.Verbose));
            }

            return ExitCodes.Done;
        }));
        return command;
    }

    private static InspectedTensor Find(InspectResult result, string name)
    {
        InspectedTensor? found = result.Tensors.FirstOrDefault(t => t.Name == name);
        if (found is null)
        {
            string? near = Suggestions.Nearest(name, result.Tensors.Select(t => t.Name));
            throw new UsageException($"{result.Path} has no tensor '{Words.Printable(name)}'" + (near is null ? "" : $"; did you mean '{Words.Printable(near)}'?"));
        }

        return found;
    }

    private static void Write(IAnsiConsole console, InspectResult result, bool everyTensor)
    {
        long dense = result.Tensors.Sum(t => t.Bytes);
        console.WriteLine($"{Words.Printable(result.Path)}  {result.Format}  {ByteSize.Format(result.FileBytes)}  {Words.Count(result.Tensors.Count, "tensor")}  {ByteSize.Format(dense)} dense");
        WriteValues(console, "inputs", result.Inputs);
        WriteValues(console, "outputs", result.Outputs);
        if (result.Operators.Count > 0)
        {
            IEnumerable<string> operators = result.Operators.OrderByDescending(o => o.Value).ThenBy(o => o.Key, StringComparer.Ordinal).Select(o => $"{o.Key} {o.Value}");
            console.WriteLine($"operators  {Words.Printable(string.Join(", ", operators))}");
        }

        if (result.Metadata.Count > 0)
        {
            console.WriteLine();
            var metadata = new TextTable("metadata", "");
            foreach ((string key, string value) in result.Metadata.OrderBy(m => m.Key, StringComparer.Ordinal))
            {
                metadata.Add(key, value.Length > 200 ? value[..200] + "..." : value);
            }

            metadata.WriteTo(console);
        }

        if (result.Tensors.Count > 0)
        {
            console.WriteLine();
            WriteTensors(console, result.Tensors, everyTensor);
        }
    }

    private static void WriteValues(IAnsiConsole console, string title, IReadOnlyList<InspectedValue> values)
    {
        if (values.Count > 0)
        {
            console.WriteLine($"{title,-9}  {Words.Printable(string.Join(", ", values.Select(v => $"{v.Name} {v.DType}[{string.Join(',', v.Dims)}]")))}");
        }
    }

    private static void WriteTensors(IAnsiConsole console, IReadOnlyList<InspectedTensor> tensors, bool every)
    {
        IEnumerable<InspectedTensor> shown = every ? tensors : tensors.OrderByDescending(t => t.StoredBytes).Take(LargestShown);
        var table = new TextTable("tensor", "dtype", "shape", "encoding", ">bits", ">bytes", ">stored");
        foreach (InspectedTensor tensor in shown)
        {
            table.Add(tensor.Name, tensor.DType, Words.Dims(tensor.Shape), tensor.Encoding, tensor.BitsPerWeight is double bits ? Words.Fixed(bits, bits == Math.Round(bits) ? 0 : 2) : "-", ByteSize.Format(tensor.Bytes), ByteSize.Format(tensor.StoredBytes));
        }

        table.WriteTo(console);
        if (!every && tensors.Count > LargestShown)
        {
            console.WriteLine($"the {LargestShown} largest of {tensors.Count}; --tensors lists all");
        }
    }

    private static void WriteTensor(IAnsiConsole console, InspectedTensor tensor)
    {
        console.WriteLine($"{Words.Printable(tensor.Name)}  {tensor.DType}{Words.Dims(tensor.Shape)}  {ByteSize.Format(tensor.Bytes)} -> {ByteSize.Format(tensor.StoredBytes)}");
        console.WriteLine(tensor.Encoding);
        if (tensor.Sparsity is InspectedSparsity sparsity)
        {
            console.WriteLine($"{sparsity}");
        }

        if (tensor.Streams.Count > 0)
        {
            var table = new TextTable("stream", "codec", ">chunks", ">bytes", ">stored");
            foreach (InspectedStream stream in tensor.Streams)
            {
                table.Add(stream.Role, stream.Codec, Words.Number(stream.Chunks), ByteSize.Format(stream.Bytes), ByteSize.Format(stream.StoredBytes));
            }

            table.WriteTo(console);
        }
    }
}
