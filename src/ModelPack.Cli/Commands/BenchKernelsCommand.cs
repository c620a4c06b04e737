using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack bench kernels</c>.</summary>
internal static class BenchKernelsCommand
{
    private const int MostSide = 1 << 20;

    public static Command Create(CliHost host)
    {
        var formats = new Argument<string[]>("format") { Description = "Number formats of the weight with arguments; none measures the usual ones", Arity = ArgumentArity.ZeroOrMore };
        Option<int> rows = NumberOption.Create("--rows", "Outputs of the layer", 32768, 1, MostSide);
        Option<int> columns = NumberOption.Create("--columns", "Inputs of the layer", 4096, 1, MostSide);
        Option<int> batch = NumberOption.Create("--batch", "Rows of activations: 1 for generating text, many for reading it", 1, 1, 4096);
        var sparsity = new Option<int[]>("--sparsity") { Description = "Block-sparse weights: percent of the blocks that are not there (repeatable), beside all blocks and ONNX Runtime's dense product, all taking turns", HelpName = "percent" };
        sparsity.Validators.Add(result =>
        {
            if ((result.GetValueOrDefault<int[]>() ?? []).Any(p => p is < 0 or > 100))
            {
                result.AddError("--sparsity is a percentage from 0 to 100");
            }
        });
        var block = new Option<string>("--sparse-block") { Description = "With --sparsity: rows and columns of a block; or single elements, N:M (2:4, banks as 16:64) or bitmap", DefaultValueFactory = _ => "32x32", HelpName = "RxC" };
        var gated = new Option<bool>("--gated") { Description = "With --sparsity: a gated perceptron (two products, SiLU, product) in one pass, beside its parts one after the other" };
        var tune = new Option<bool>("--tune") { Description = "Keep the times of dense weights for 'compile --tune', which then takes the fastest kernel for such products" };
        var command = new Command("kernels", "Matrix products with packed weights on one and on several threads, beside ONNX Runtime's and the speed of memory") { formats, rows, columns, batch, sparsity, block, gated, tune };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            var options = new KernelBenchmarkOptions
            {
                Rows = session.Get(rows),
                Columns = session.Get(columns),
                Batch = session.Get(batch),
                Threads = session.Threads,
                Formats = session.Get(formats) ?? [],
                Sparsity = session.Get(sparsity) ?? [],
                SparseBlock = session.Get(block)!,
                Gated = session.Get(gated),
            };
            BenchKernelsResult result = KernelBenchmark.Run(options, session.Progress, session.Cancellation);
            if (session.Get(tune))
            {
                KernelTuner.Keep(result);
            }

            session.Show(result, JsonOutput.Types.BenchKernelsResult, console => Print(console, result));
            return ExitCodes.Done;
        }));
        return command;
    }

    private static void Print(IAnsiConsole console, BenchKernelsResult result)
    {
        if (result.Results.Any(r => r.Kernel.Contains("GatedMlp", StringComparison.Ordinal)))
        {
            PrintGated(console, result);
            return;
        }

        if (result.Results.Any(r => r.Sparsity > 0))
        {
            PrintSparse(console, result);
            return;
        }

        // One row of activations is a matter of memory, many rows are one of arithmetic.
        bool memory = result.Batch == 1;
        string[] units = memory ? [">GB/s", ">of read"] : [">G mul/s"];
        bool many = result.Threads > 1;
        var table = new TextTable(["kernel", "weight", ">size", ">ms", .. units, .. many ? [$">ms, {Words.Count(result.Threads, "thread")}", .. units] : Array.Empty<string>()]);
        foreach (BenchedKernel row in result.Results)
        {
            table.Add([row.Kernel, row.Format, ByteSize.Format(row.WeightBytes), .. Cells(row.One, memory), .. many ? Cells(row.Many, memory) : []]);
        }

        table.WriteTo(console);
        console.WriteLine($"y[{result.Batch}, {result.Rows}] = x[{result.Batch}, {result.Columns}] W^T; {result.Tier}; {result.Cpu}");
        if (memory)
        {
            console.WriteLine("GB/s of the packed weight; of read: the time that reading as many bytes takes, over that of the kernel");
        }
    }

    /// <summary>One pass beside its parts.</summary>
    private static void PrintGated(IAnsiConsole console, BenchKernelsResult result)
    {
        bool many = result.Threads > 1;
        var table = new TextTable(["kernel", "weight", ">sparse", ">size", ">ms", ">x parts", .. many ? [$">ms, {Words.Count(result.Threads, "thread")}", ">x parts"] : Array.Empty<string>()]);
        for (int i = 0; i < result.Results.Count; i++)
        {
            BenchedKernel row = result.Results[i];
            BenchedKernel parts = result.Results[i | 1];
            string[] Cells(KernelTime time, KernelTime all) => [Words.Fixed(time.Milliseconds, 3), Words.Fixed(all.Milliseconds / time.Milliseconds, 2)];
            table.Add([row.Kernel, row.Format, $"{row.Sparsity} %", ByteSize.Format(row.WeightBytes), .. Cells(row.One, parts.One), .. many ? Cells(row.Many, parts.Many) : []]);
        }

        table.WriteTo(console);
        console.WriteLine($"h[{result.Batch}, {result.Rows}] = silu(x G^T) * (x U^T), y[{result.Batch}, {result.Columns}] = h D^T; {result.Tier}; {result.Cpu}");
    }

    /// <summary>Times beside those of the dense products.</summary>
    private static void PrintSparse(IAnsiConsole console, BenchKernelsResult result)
    {
        bool many = result.Threads > 1;
        BenchedKernel? own = result.Results.FirstOrDefault(r => r.Sparsity == 0 && r.Format == "f32" && !r.Kernel.StartsWith("ort:", StringComparison.Ordinal));
        BenchedKernel? theirs = result.Results.FirstOrDefault(r => r.Kernel.StartsWith("ort:", StringComparison.Ordinal));
        var table = new TextTable(["kernel", "weight", ">sparse", ">size", ">ms", ">x own dense", ">x ort", .. many ? [$">ms, {Words.Count(result.Threads, "thread")}", ">x own dense", ">x ort"] : Array.Empty<string>()]);
        foreach (BenchedKernel row in result.Results)
        {
            table.Add([row.Kernel, row.Format, $"{row.Sparsity} %", ByteSize.Format(row.WeightBytes), .. Ratios(row.One, own?.One, theirs?.One), .. many ? Ratios(row.Many, own?.Many, theirs?.Many) : []]);
        }

        table.WriteTo(console);
        console.WriteLine($"y[{result.Batch}, {result.Rows}] = x[{result.Batch}, {result.Columns}] W^T; {result.Tier}; {result.Cpu}");
        console.WriteLine("x: times as fast as the kernel with all blocks in f32, and as ONNX Runtime's dense f32 product");
    }

    private static string[] Ratios(KernelTime time, KernelTime? own, KernelTime? theirs) =>
        [Words.Fixed(time.Milliseconds, 3), own is null ? "" : Words.Fixed(own.Milliseconds / time.Milliseconds, 1), theirs is null ? "" : Words.Fixed(theirs.Milliseconds / time.Milliseconds, 1)];

    private static string[] Cells(KernelTime time, bool memory) => memory
        ? [Words.Fixed(time.Milliseconds, 3), Words.Fixed(time.Gbps, 1), Words.Percent(time.ReadShare)]
        : [Words.Fixed(time.Milliseconds, 2), Words.Fixed(time.GigaMultiplications, 0)];
}
