using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using ModelPack.Benchmarks.Codecs;
using ModelPack.Benchmarks.Numbers;
using ModelPack.Toolchain;

namespace ModelPack.Benchmarks;

/// <summary>Prints, and on request stores, the quick tables of all areas for this machine.</summary>
internal static class QuickTables
{
    public static int Run(string? folder, TextWriter output)
    {
        string cpu = Processor.Name;
        var table = new QuickTable();
        NumberFormatBenchmarks.AddTo(table);
        string text =
            $"""
            # Number formats on {cpu}

            {DateTime.UtcNow.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture)}, {RuntimeInformation.FrameworkDescription}, {RuntimeInformation.OSDescription}, widest vectors in use: {Widest()}.
            One thread; the best of many runs, so that other load on the machine shows as little as possible. GB/s are 10^9 bytes per second.
            Made by `dotnet run -c Release --project tests/ModelPack.Benchmarks -- --quick tests/ModelPack.Benchmarks/results`.

            {table.ToMarkdown()}
            """;
        output.WriteLine(text);
        Store(folder, "", text);
        return 0;
    }

    /// <summary>As <see cref="Run"/>, for lossless codecs on the weights of the sample model.</summary>
    public static int RunCodecs(string? folder, TextWriter output)
    {
        string cpu = Processor.Name;
        string text =
            $"""
            # Lossless codecs on {cpu}

            {DateTime.UtcNow.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture)}, {RuntimeInformation.FrameworkDescription}, {RuntimeInformation.OSDescription}, widest vectors in use: {Widest()}.
            Weights of the sample model, one thread; the best of many runs; decoding includes the checksum. GB/s are 10^9 original bytes per second. Chunks that a codec refuses are stored.
            Made by `dotnet run -c Release --project tests/ModelPack.Benchmarks -- --codecs tests/ModelPack.Benchmarks/results`.

            {CodecTable.ToMarkdown()}
            """;
        output.WriteLine(text);
        Store(folder, "codecs-", text);
        return 0;
    }

    private static void Store(string? folder, string prefix, string text)
    {
        if (folder is not null)
        {
            Directory.CreateDirectory(folder);
            File.WriteAllText(Path.Combine(folder, $"{prefix}{FileName()}.md"), text + "\n");
        }
    }

    /// <summary>This machine in the name of a result file: its CPU, and the vectors where they are narrower than it has.</summary>
    public static string FileName()
    {
        string name = string.Concat(Processor.Name.ToLowerInvariant().Select(c => char.IsAsciiLetterOrDigit(c) ? c : '-')).Trim('-');
        return Widest() == "512" ? name : $"{name}-{Widest().Replace(" (forced)", "", StringComparison.Ordinal)}-bit";
    }

    public static string Widest()
    {
        string forced = Environment.GetEnvironmentVariable("MODELPACK_SIMD") ?? "";
        return forced.Length > 0 ? $"{forced} (forced)"
            : Vector512.IsHardwareAccelerated ? "512"
            : Vector256.IsHardwareAccelerated ? "256"
            : Vector128.IsHardwareAccelerated ? "128" : "none";
    }
}
