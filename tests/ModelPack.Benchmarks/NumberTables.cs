using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using ModelPack.Toolchain;

namespace ModelPack.Benchmarks;

/// <summary>Prints, and on request stores as <c>numbers-CPU.md</c>, the speeds of all number formats on this machine.</summary>
internal static class NumberTables
{
    public static int Run(string? folder, TextWriter output)
    {
        BenchNumbersResult result = NumberBenchmark.Run();
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"""
            # Speed of every number format on {Processor.Name}

            {DateTime.UtcNow:yyyy-MM-dd}, {RuntimeInformation.FrameworkDescription}, {RuntimeInformation.OSDescription}, widest vectors in use: {QuickTables.Widest()}.
            One core, a [4096, 4096] matrix of N(0, 0.02) values, larger than the caches; the best of up to 21 passes. 10^9 bytes per second: of f32 read by encoders, of output written by decoders and
            memcpy. `memcpy` is measured between the passes over the same format; `of memcpy` is f32 decoding beside it.
            Made by `dotnet run -c Release --project tests/ModelPack.Benchmarks -- --numbers tests/ModelPack.Benchmarks/results`.

            | format | bits | encode | decode | memcpy | of memcpy | to bf16 | to f16 |
            |---|---|---|---|---|---|---|---|

            """);
        foreach (BenchedFormat row in result.Results)
        {
            text.Append(CultureInfo.InvariantCulture, $"| {row.Format} | {row.BitsPerWeight:F3} | {row.EncodeGbps:F2} | {row.DecodeGbps:F2} | {row.MemcpyGbps:F2} | {row.DecodeRatio:F2} | {row.DecodeBf16Gbps:F2} | {row.DecodeF16Gbps:F2} |\n");
        }

        output.WriteLine(text);
        if (folder is not null)
        {
            Directory.CreateDirectory(folder);
            File.WriteAllText(Path.Combine(folder, $"numbers-{QuickTables.FileName()}.md"), text.ToString());
        }

        return 0;
    }
}
