using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack bench numbers</c>.</summary>
internal static class BenchNumbersCommand
{
    public static Command Create(CliHost host)
    {
        var formats = new Argument<string[]>("format") { Description = "Number formats with arguments; none measures them all", Arity = ArgumentArity.ZeroOrMore };
        var command = new Command("numbers", "Encode and decode speed of number formats on one core, beside memcpy of the output in the same run") { formats };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            string[] named = session.Get(formats) ?? [];
            BenchNumbersResult result = NumberBenchmark.Run(named.Length == 0 ? null : named, session.Progress, session.Cancellation);
            session.Show(result, JsonOutput.Types.BenchNumbersResult, console =>
            {
                var table = new TextTable("format", ">bits/weight", ">encode GB/s", ">decode GB/s", ">memcpy GB/s", ">decode/memcpy", ">to bf16 GB/s", ">to f16 GB/s");
                foreach (BenchedFormat row in result.Results)
                {
                    table.Add(
                        row.Format,
                        Words.Fixed(row.BitsPerWeight, 3),
                        Words.Fixed(row.EncodeGbps, 2),
                        Words.Fixed(row.DecodeGbps, 2),
                        Words.Fixed(row.MemcpyGbps, 2),
                        Words.Fixed(row.DecodeRatio, 2),
                        Words.Fixed(row.DecodeBf16Gbps, 2),
                        Words.Fixed(row.DecodeF16Gbps, 2));
                }

                table.WriteTo(console);
                console.WriteLine($"GB/s of f32 in and out, of 16-bit floats in the last two columns, one core, {ByteSize.Format(result.Values * 4)}; {result.Cpu}");
            });
            return ExitCodes.Done;
        }));
        return command;
    }
}
