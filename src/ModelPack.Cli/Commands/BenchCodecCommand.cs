using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack bench codec</c>.</summary>
internal static class BenchCodecCommand
{
    public static Command Create(CliHost host)
    {
        var file = new Argument<string>("file") { Description = "A model file, a checkpoint folder or an .mpack file" };
        var command = new Command("codec", "Size and speed of each lossless codec on each kind of data in a file, beside memcpy in the same run") { file };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            BenchCodecResult result = CodecBenchmark.Run(session.Get(file), session.Threads, session.Progress, session.Cancellation);
            session.Show(result, JsonOutput.Types.BenchCodecResult, console => Print(console, result));
            return ExitCodes.Done;
        }));
        return command;
    }

    private static void Print(IAnsiConsole console, BenchCodecResult result)
    {
        bool many = result.Threads > 1;
        var table = new TextTable(["data", "codec", ">bytes", ">ratio", ">encode GB/s", ">decode GB/s", ">memcpy GB/s", .. many ? [$">encode, {Words.Count(result.Threads, "thread")}", ">decode"] : Array.Empty<string>()]);
        foreach (BenchedCodec row in result.Results)
        {
            table.Add([
                $"{row.Dtype} {row.Role}",
                row.Codec,
                ByteSize.Format(row.CodedBytes),
                Words.Fixed(row.Ratio, 4),
                Words.Fixed(row.EncodeGbps, 2),
                Words.Fixed(row.DecodeGbps, 2),
                Words.Fixed(row.MemcpyGbps, 2),
                .. many ? [Words.Fixed(row.EncodeThreadsGbps, 2), Words.Fixed(row.DecodeThreadsGbps, 2)] : Array.Empty<string>()]);
        }

        table.WriteTo(console);
        console.WriteLine();
        var references = new TextTable("data", ">tensors", ">original", ">ZipNN", ">16 classes", ">with a mantissa bit", ">of the gap by pack");
        foreach (CodecReference row in result.References)
        {
            references.Add(
                $"{row.Dtype} {row.Role}",
                Words.Number(row.Tensors),
                ByteSize.Format(row.Bytes),
                Words.Fixed((double)row.Bytes / row.ZipnnBytes, 4),
                Words.Fixed((double)row.Bytes / Math.Max(1, row.BoundBytes), 4),
                Words.Fixed((double)row.Bytes / Math.Max(1, row.MantissaBoundBytes), 4),
                Words.Percent(row.Realized));
        }

        references.WriteTo(console);
        console.WriteLine($"GB/s of original bytes, on one core unless threads are named, checksums included; {result.Cpu}");
        console.WriteLine("ZipNN: its size by definition, tensor by tensor; classes: the entropy of exponents with up to 16 classes of blocks, labels and tables charged, sign and mantissa raw");
    }
}
