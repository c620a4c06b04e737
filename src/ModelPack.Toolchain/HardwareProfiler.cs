using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using ModelPack.Compiler.Planning;
using ModelPack.Kernels;

namespace ModelPack.Toolchain;

/// <summary>Measures this machine: memory level by level, arithmetic, what a node and opening an artifact cost, and every matrix kernel from a cache, from memory and on many rows.</summary>
public static unsafe class HardwareProfiler
{
    /// <summary>Inputs of the measured products.</summary>
    private const int Columns = 4096;

    private const int CachedRows = 512;

    private const int BatchOutputs = 1024;

    /// <summary>Outputs, or inputs, of the products that tell what a value of the activations, or of the result, takes.</summary>
    private const int Few = 256;

    private const long LeastFromMemoryBytes = 64L << 20;

    private const long MostFromMemoryBytes = 400L << 20;

    private static readonly string[] Formats =
    [
        "int2", "int3", "int4", "int4(block=128)", "int5", "int6", "int8", "int8(block=128)", "mxfp4", "mxfp6", "mxfp8", "mxint8", "nvfp4", "nf4", "fp4", "dyn8", "fp8", "float(exponent=3,mantissa=4)", "ternary", "posit8", "bfloat8",
        "palette", "bf16", "f16", "posit16",
    ];

    /// <summary>Times that all kernels are measured one after the other: machines slow down and speed up again within minutes.</summary>
    private const int Passes = 3;

    /// <summary>Sparse weights that are measured: structure, number format of the values.</summary>
    internal static IReadOnlyList<(string Structure, string Format)> Sparse { get; } =
    [
        ("blocksparse(block=32x32)", "f32"), ("blocksparse(block=32x32)", "bf16"), ("blocksparse(block=32x32)", "int8"), ("blocksparse(block=32x32)", "mxfp4"), ("blocksparse(block=16x16)", "f32"), ("blocksparse(block=4x4)", "f32"),
        ("blocksparse(block=1x16)", "f32"), ("nm(m=4,n=2)", "f32"), ("nm(m=4,n=2)", "bf16"), ("nm(m=4,n=2)", "int8"), ("bankbalanced(bank=64,kept=16)", "f32"), ("bankbalanced(bank=64,kept=16)", "bf16"), ("bitmap", "f32"), ("bitmap", "bf16"),
    ];

    /// <summary>Gated perceptrons that are measured: inputs and outputs, neurons.</summary>
    private static readonly (int Width, int Hidden)[] GatedMlps = [(256, 768), (1024, 2816), (2048, 5632), (4096, 11008)];

    /// <summary>Rows of activations with which they are.</summary>
    private static readonly int[] GatedRows = [1, 16, CostModel.BatchRows];

    /// <summary>Percent of these weights that is not stored: where sparse and dense products are not far from each other.</summary>
    private const int SparsePercent = 50;

    private delegate IReadOnlyList<(BenchedKernel Kernel, double Places)> Measured(KernelBenchmarkOptions options);

    /// <summary>Measures for a few minutes: 2 to 5.</summary>
    /// <param name="name">Name of the profile; null for that of the processor.</param>
    /// <param name="progress">Told what is measured.</param>
    /// <param name="cancellation">Checked between measurements.</param>
    public static HardwareProfile Run(string? name = null, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default) =>
        Run(name, Formats, OrtProduct.All, Sparse, GatedMlps, progress, cancellation);

    /// <summary>With these kernels only.</summary>
    internal static HardwareProfile Run(string? name, IReadOnlyList<string> formats, IReadOnlyList<OrtProduct> products, IReadOnlyList<(string Structure, string Format)> sparse, IReadOnlyList<(int Width, int Hidden)> gated, IProgress<ToolProgress>? progress, CancellationToken cancellation)
    {
        int cores = Environment.ProcessorCount;
        int steps = 5 + (Passes * (formats.Count + products.Count + sparse.Count)) + gated.Count;
        int done = 0;
        void Report(string what) => progress?.Report(new ToolProgress("profile", done++, steps, what));
        Report("memory");
        MemoryLevel[] memory = [.. CacheSizes().Append(("memory", GC.GetGCMemoryInfo().TotalAvailableMemoryBytes)).Select(level => Level(level.Item1, level.Item2, cores, cancellation))];
        Report("arithmetic");
        double gflops = Gflops(cores);
        Report("a node");
        double launch = LaunchMicroseconds();
        Report("opening artifacts");
        (double open, double openNode, double load) = LoadSpeed.Measure(cancellation);
        long cache = memory[^2].Bytes;
        (string Name, Measured Measure, bool IsDense)[] units =
        [
            .. formats.Select(format => (format, (Measured)(options => Whole(KernelBenchmark.Format(format, options, cancellation))), true)),
            .. products.Select(product => (product.Kernel, (Measured)(options => Whole([KernelBenchmark.Theirs(product, options, cancellation)])), true)),
            .. sparse.Select(unit => ($"{unit.Structure} of {unit.Format}", (Measured)(options => [SparseKernelBenchmark.One(UnitSpec.Parse(unit.Structure), unit.Format, SparsePercent, options, cancellation)]), false)),
        ];
        var passes = new List<KernelConstant[]>[units.Length];
        for (int pass = 0; pass < Passes; pass++)
        {
            for (int i = 0; i < units.Length; i++)
            {
                Report(units[i].Name);
                (passes[i] ??= []).Add([.. Constants(cache, units[i].Measure, units[i].IsDense, first: pass == 0)]);
            }
        }

        var kernels = passes.SelectMany(Middle).ToList();
        Report("convolutions");
        ThreadTimes product = kernels.FirstOrDefault(k => k.Kernel == ConvolutionTimes.PackedProduct)?.Batch ?? new ThreadTimes(0, 0);
        ThreadTimes Rounded(ThreadTimes times) => Times(times.One, times.All);
        ConvolutionConstant[] convolutions = [.. ConvolutionTimes.Measure(product, cores, cancellation).Select(c => c with { PerMultiplication = Rounded(c.PerMultiplication), PerValue = Rounded(c.PerValue) })];
        var perceptrons = new List<GatedMlpConstant>();
        foreach ((int width, int hidden) in gated)
        {
            Report($"a gated perceptron, {width} x {hidden}");
            foreach (int rows in GatedRows)
            {
                GatedMlpConstant constant = SparseKernelBenchmark.Gated(width, hidden, rows, cores, TimeSpan.FromSeconds(0.2), cancellation);
                perceptrons.Add(constant with { Ratio = new ThreadTimes(Round(constant.Ratio.One), Round(constant.Ratio.All)) });
            }
        }

        return new HardwareProfile
        {
            Name = name ?? Processor.Name,
            Source = string.Create(CultureInfo.InvariantCulture, $"measured by {ArtifactContent.ToolVersion} on {TimeProvider.System.GetUtcNow():yyyy-MM-dd} (UTC), medians of many runs in several passes, {cores} threads"),
            Kind = "cpu",
            Isa = Isa(),
            Cores = cores,
            Memory = memory,
            Gflops = new Dictionary<string, double>(StringComparer.Ordinal) { ["f32"] = Round(gflops) },
            LaunchMicroseconds = Round(launch),
            OpenMilliseconds = Round(open),
            OpenNodeMicroseconds = Round(openNode),
            LoadGbps = Round(load),
            Kernels = kernels,
            GatedMlps = perceptrons,
            Convolutions = convolutions,
        };
    }

    /// <summary>Instruction sets that kernels of this build choose between.</summary>
    internal static IReadOnlyList<string> Isa() =>
    [
        .. new (string Name, bool Has)[]
        {
            ("avx2", Avx2.IsSupported), ("fma", Fma.IsSupported), ("avx512", Avx512BW.IsSupported), ("avx512vbmi", Avx512Vbmi.IsSupported), ("avxvnni", AvxVnni.IsSupported),
            ("neon", AdvSimd.IsSupported), ("dotprod", Dp.IsSupported),
        }.Where(i => i.Has).Select(i => i.Name),
        .. KernelTiers.AtRunTime,
    ];

    /// <summary>Kernels that go through all places of a matrix.</summary>
    private static (BenchedKernel Kernel, double Places)[] Whole(IReadOnlyList<BenchedKernel> kernels) => [.. kernels.Select(k => (k, 1.0))];

    /// <summary>The measurements of the kernels of one format, by weight that they multiply with; from memory only in the first pass, for which weights are large.</summary>
    private static IEnumerable<KernelConstant> Constants(long cacheBytes, Measured measure, bool isDense, bool first)
    {
        var options = new KernelBenchmarkOptions { Rows = CachedRows, Columns = Columns, Threads = Environment.ProcessorCount, Enough = TimeSpan.FromSeconds(0.1) };
        IReadOnlyList<(BenchedKernel Kernel, double Places)> cached = measure(options);
        double perRow = (double)cached[0].Kernel.WeightBytes / CachedRows;
        int far = (int)(Math.Clamp(5 * cacheBytes / 2, LeastFromMemoryBytes, MostFromMemoryBytes) / perRow);
        IReadOnlyList<(BenchedKernel Kernel, double Places)> fromMemory = first ? measure(options with { Rows = far, Enough = TimeSpan.FromSeconds(0.3) }) : [];
        IReadOnlyList<(BenchedKernel Kernel, double Places)> batch = measure(options with { Rows = BatchOutputs, Batch = CostModel.BatchRows, Enough = TimeSpan.FromSeconds(0.15) });
        IReadOnlyList<(BenchedKernel Kernel, double Places)> FewOf(int outputs, int inputs) =>
            isDense ? measure(options with { Rows = outputs, Columns = inputs, Batch = CostModel.BatchRows, Enough = TimeSpan.FromSeconds(0.05) }) : [];
        IReadOnlyList<(BenchedKernel Kernel, double Places)> fewOutputs = FewOf(Few, Columns);
        IReadOnlyList<(BenchedKernel Kernel, double Places)> fewInputs = FewOf(Columns, Few);
        for (int i = 0; i < cached.Count; i++)
        {
            BatchTimes Parts(Func<BenchedKernel, KernelTime> time)
            {
                BatchMeasurement Row(IReadOnlyList<(BenchedKernel Kernel, double Places)> kernels, int outputs, int inputs) => new(outputs, inputs, time(kernels[i].Kernel).Milliseconds * 1e6 / CostModel.BatchRows);
                return BatchTimes.Of(Row(batch, BatchOutputs, Columns), Row(fewOutputs, Few, Columns), Row(fewInputs, Columns, Few));
            }

            (BatchTimes One, BatchTimes All)? parts = isDense ? (Parts(k => k.One), Parts(k => k.Many)) : null;
            double weights = cached[i].Places * CachedRows * Columns;
            (string kernel, int block) = CostModel.Split(cached[i].Kernel.Kernel);
            yield return new KernelConstant(
                kernel,
                block != 0 ? block : cached[i].Kernel.Block,
                Round(cached[i].Kernel.WeightBytes / weights),
                Times(cached[i].Kernel, weights),
                first ? Times(fromMemory[i].Kernel, fromMemory[i].Places * far * Columns) : new ThreadTimes(0, 0),
                parts is (BatchTimes one, BatchTimes all) ? Times(one.Multiplication, all.Multiplication) : Times(batch[i].Kernel, batch[i].Places * BatchOutputs * Columns * CostModel.BatchRows),
                parts is null ? null : Times(parts.Value.One.Activation, parts.Value.All.Activation),
                parts is null ? null : Times(parts.Value.One.Output, parts.Value.All.Output));
        }
    }

    /// <summary>The middle one of what the passes measured, times by themselves.</summary>
    private static IEnumerable<KernelConstant> Middle(List<KernelConstant[]> passes)
    {
        ThreadTimes Of(int i, Func<KernelConstant, ThreadTimes?> times)
        {
            double Time(Func<ThreadTimes, double> time) => passes.Select(p => time(times(p[i])!)).Order().ElementAt(passes.Count / 2);
            return new ThreadTimes(Time(t => t.One), Time(t => t.All));
        }

        return passes[0].Select((constant, i) => constant with
        {
            Cached = Of(i, k => k.Cached),
            Batch = Of(i, k => k.Batch),
            PerActivation = constant.PerActivation is null ? null : Of(i, k => k.PerActivation),
            PerOutput = constant.PerOutput is null ? null : Of(i, k => k.PerOutput),
        });
    }

    private static ThreadTimes Times(BenchedKernel kernel, double count) => Times(kernel.One.Milliseconds * 1e6 / count, kernel.Many.Milliseconds * 1e6 / count);

    private static ThreadTimes Times(double one, double all) => new(Round(one), Round(all));

    /// <summary>Three digits are more than the next run will repeat.</summary>
    private static double Round(double value) => value == 0 ? 0 : double.Parse(value.ToString("G4", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    /// <summary>Sizes of the data caches, nearest first.</summary>
    private static List<(string Name, long Bytes)> CacheSizes()
    {
        const string root = "/sys/devices/system/cpu/cpu0/cache";
        var sizes = new SortedDictionary<string, long>(StringComparer.Ordinal);
        foreach (string index in Directory.Exists(root) ? Directory.GetDirectories(root, "index*") : [])
        {
            string Text(string file) => File.Exists(Path.Combine(index, file)) ? File.ReadAllText(Path.Combine(index, file)).Trim() : "";
            string size = Text("size");
            if (Text("type") is "Data" or "Unified" && size.Length > 1 && long.TryParse(size[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out long count))
            {
                sizes["L" + Text("level")] = count << (size[^1] == 'M' ? 20 : 10);
            }
        }

        // Where the system does not tell: small enough for most machines.
        return sizes.Count > 0 ? [.. sizes.Select(s => (s.Key, s.Value))] : [("L1", 32 << 10), ("L2", 512 << 10), ("L3", 8 << 20)];
    }

    private static MemoryLevel Level(string name, long capacity, int cores, CancellationToken cancellation)
    {
        // Half of a cache; of memory much more than caches hold. Private caches are read by every thread for itself.
        bool shared = name is "L3" or "memory";
        long bytes = name == "memory" ? MostFromMemoryBytes : (capacity / 2) & -4096;
        long all = shared ? bytes : bytes * cores;
        byte* buffer = (byte*)NativeMemory.AlignedAlloc((nuint)all, 4096);
        try
        {
            new Span<byte>(buffer, (int)all).Fill(1);
            HugePages.Use((nint)buffer, all); // As large weights lie.
            int repeats = (int)Math.Max(1, (64L << 20) / bytes);
            double Best(int threads, long total)
            {
                double best = double.MaxValue;
                for (int round = 0; round < 9; round++)
                {
                    cancellation.ThrowIfCancellationRequested();
                    bool prefetch = name == "memory" && (round & 1) != 0;
                    best = Math.Min(best, KernelBenchmark.Seconds(() => KernelBenchmark.Split(threads, total, (first, length) =>
                    {
                        for (int i = 0; i < repeats; i++)
                        {
                            MemoryRead.Run(buffer + first, length, prefetch);
                        }
                    })));
                }

                return Round(total * (double)repeats / best / 1e9);
            }

            return new MemoryLevel(name, capacity, Best(1, bytes), Best(cores, all));
        }
        finally
        {
            NativeMemory.AlignedFree(buffer);
        }
    }

    /// <summary>Fused multiplications of all cores.</summary>
    private static double Gflops(int cores)
    {
        const int steps = 1 << 20;
        double best = double.MaxValue;
        double operations = 0;
        for (int round = 0; round < 7; round++)
        {
            best = Math.Min(best, KernelBenchmark.Seconds(() => KernelBenchmark.Split(cores, cores, (_, _) => operations = cores * PeakArithmetic.Run(KernelTiers.Current, steps))));
        }

        return operations / best / 1e9;
    }

    /// <summary>What a node adds to a run: a chain of them on one value.</summary>
    private static double LaunchMicroseconds()
    {
        const int nodes = 200;
        using Runtime.PackedModel chain = OrtProduct.Chain(nodes);
        using var input = Microsoft.ML.OnnxRuntime.OrtValue.CreateTensorValueFromMemory(GaussianError.Sample(1), [1]);
        var inputs = new Dictionary<string, Microsoft.ML.OnnxRuntime.OrtValue> { ["x"] = input };
        double best = double.MaxValue;
        for (int round = 0; round < 200; round++)
        {
            best = Math.Min(best, KernelBenchmark.Seconds(() => chain.Run(inputs).Dispose()));
        }

        return best * 1e6 / nodes;
    }
}
