using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
using ModelPack.Runtime;

namespace ModelPack.Toolchain;

/// <summary>What is measured.</summary>
public sealed record KernelBenchmarkOptions
{
    /// <summary>Outputs of the layer.</summary>
    public int Rows { get; init; } = 32768;

    /// <summary>Its inputs.</summary>
    public int Columns { get; init; } = 4096;

    /// <summary>Rows of activations.</summary>
    public int Batch { get; init; } = 1;

    /// <summary>Threads of the second measurement; 0 means one per processor.</summary>
    public int Threads { get; init; }

    /// <summary>Number formats; empty for <see cref="KernelBenchmark.DefaultFormats"/>.</summary>
    public IReadOnlyList<string> Formats { get; init; } = [];

    /// <summary>Percent of the blocks of block-sparse weights that are not there; any measures these instead of dense weights.</summary>
    public IReadOnlyList<int> Sparsity { get; init; } = [];

    /// <summary>Rows x columns of a block.</summary>
    public string SparseBlock { get; init; } = "32x32";

    /// <summary>A gated perceptron of three such weights, [rows, columns] twice and [columns, rows], in one pass beside its products and its activation one after the other.</summary>
    public bool Gated { get; init; }

    /// <summary>Time that a kernel is measured for, after five runs.</summary>
    public TimeSpan Enough { get; init; } = TimeSpan.FromSeconds(1.5);
}

/// <summary>Times the matrix kernels on packed weights, and ONNX Runtime's on the same shape.</summary>
/// <remarks>Runs on one and on several threads and plain reads of as many bytes take turns, so that a machine that slows down slows down all of them; each figure is the median of its runs, as a model meets it.</remarks>
public static unsafe class KernelBenchmark
{
    private const int LeastRounds = 5;

    private const int MostRounds = 2000;

    /// <summary>Of <see cref="Share"/>: enough that a late thread costs little, few enough that taking one does.</summary>
    private const int PiecesPerThread = 8;

    /// <summary>Unit of reading; a tail below it is not read.</summary>
    private const int ReadBytes = 4096;

    /// <summary>What is measured when no formats are named.</summary>
    public static IReadOnlyList<string> DefaultFormats { get; } =
    [
        "int4", "int4(block=128)", "int8(block=128)", "int3", "int6", "mxfp4", "nvfp4", "nf4", "mxfp6", "mxfp8", "mxint8", "fp8", "ternary", "posit8", "bf16",
    ];

    /// <summary>Measures kernels one after the other.</summary>
    /// <param name="options">Shape, threads, formats.</param>
    /// <param name="progress">Told the name of each format.</param>
    /// <param name="cancellation">Checked between runs.</param>
    /// <exception cref="ModelPackException">MP1021, MP1022: a format does not exist or has wrong arguments, or no kernel reads it.</exception>
    public static BenchKernelsResult Run(KernelBenchmarkOptions options, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.Rows);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.Columns);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.Batch);
        options = options with { Threads = options.Threads == 0 ? Environment.ProcessorCount : options.Threads };

        var results = new List<BenchedKernel>();
        void Report(string name) => progress?.Report(new ToolProgress("bench kernels", results.Count, 0, name));
        foreach (BenchedKernel kernel in options.Sparsity.Count > 0 ? SparseKernelBenchmark.Run(options, Report, cancellation) : Dense(options, Report, cancellation))
        {
            results.Add(kernel);
        }

        return new BenchKernelsResult
        {
            Rows = options.Rows,
            Columns = options.Columns,
            Batch = options.Batch,
            Threads = options.Threads,
            Results = results,
            Tier = KernelTiers.Current.ToString(),
            Cpu = Processor.Name,
        };
    }

    /// <summary>Formats one after the other, then ONNX Runtime's products.</summary>
    private static IEnumerable<BenchedKernel> Dense(KernelBenchmarkOptions options, Action<string> report, CancellationToken cancellation)
    {
        // Binding first: a misspelt name should not cost the measurements before it.
        string[] formats = [.. options.Formats.Count == 0 ? DefaultFormats : options.Formats];
        foreach (string format in formats)
        {
            BenchedWeight.Check(format, options.Columns);
        }

        foreach (string format in formats)
        {
            report(format);
            foreach (BenchedKernel kernel in Format(format, options, cancellation))
            {
                yield return kernel;
            }
        }

        foreach (OrtProduct product in OrtProduct.All.Where(p => p.Fits(options.Rows, options.Columns)))
        {
            report(product.Kernel);
            yield return Theirs(product, options, cancellation);
        }
    }

    /// <summary>The kernels of one format.</summary>
    internal static IReadOnlyList<BenchedKernel> Format(string format, KernelBenchmarkOptions options, CancellationToken cancellation)
    {
        using BenchedWeight weight = BenchedWeight.Make(format, options.Rows, options.Columns);
        return [.. MatMulArithmetics.All.Where(weight.Weight.Has).Select(a => Own(weight, a, options, cancellation))];
    }

    private static BenchedKernel Own(BenchedWeight benched, MatMulArithmetic arithmetic, KernelBenchmarkOptions options, CancellationToken cancellation)
    {
        float[] x = GaussianError.Sample(options.Batch * options.Columns, 1);
        float[] y = new float[(long)options.Batch * options.Rows];
        MatMulWeight weight = benched.Weight;
        var run = new MatMulRun(weight, arithmetic, KernelTiers.Current);
        byte* tiles = benched.Tiles;
        byte* scratch = (byte*)NativeMemory.AlignedAlloc((nuint)run.ScratchBytes(Math.Min(options.Batch, MatMulRun.MaxRows)), 64);
        try
        {
            fixed (float* input = x, output = y)
            {
                float* from = input;
                float* to = output;
                void Product(int threads) => Multiply(run, tiles, from, options.Batch, scratch, to, threads);
                (KernelTime one, KernelTime many) = Measure(options, tiles, weight.Bytes, Product, Product, cancellation);
                return new BenchedKernel
                {
                    Kernel = $"modelpack:PackedMatMul({weight.Format.Id},{arithmetic.Name()})",
                    Format = benched.Name,
                    Block = weight.Layout.BlockUnits * weight.Layout.UnitColumns,
                    WeightBytes = weight.Bytes,
                    One = one,
                    Many = many,
                };
            }
        }
        finally
        {
            NativeMemory.AlignedFree(scratch);
        }
    }

    /// <summary>One product of ONNX Runtime.</summary>
    internal static BenchedKernel Theirs(OrtProduct product, KernelBenchmarkOptions options, CancellationToken cancellation)
    {
        float[] x = GaussianError.Sample(options.Batch * options.Columns, 1);
        byte[] codes = product.Codes(options.Rows, options.Columns);
        using PackedModel one = product.Open(codes, options.Rows, options.Columns, 1);
        using PackedModel many = product.Open(codes, options.Rows, options.Columns, options.Threads);
        using OrtValue input = OrtValue.CreateTensorValueFromMemory(x, [options.Batch, options.Columns]);
        var inputs = new Dictionary<string, OrtValue> { ["x"] = input };
        fixed (byte* memory = codes)
        {
            (KernelTime first, KernelTime second) = Measure(options, memory, codes.LongLength, _ => one.Run(inputs).Dispose(), _ => many.Run(inputs).Dispose(), cancellation);
            return new BenchedKernel { Kernel = product.Kernel, Format = product.Format, Block = product.Block, WeightBytes = codes.LongLength, One = first, Many = second };
        }
    }

    /// <summary>A product as the operator does it.</summary>
    /// <param name="run">The product.</param>
    /// <param name="tiles">The execution layout of its weight.</param>
    /// <param name="x">[batch, inputs].</param>
    /// <param name="batch">Rows of activations.</param>
    /// <param name="scratch">Room for <see cref="MatMulRun.MaxRows"/> of them.</param>
    /// <param name="y">[batch, outputs] destination.</param>
    /// <param name="threads">Threads.</param>
    internal static void Multiply(IMatMulRun run, byte* tiles, float* x, int batch, void* scratch, float* y, int threads)
    {
        for (int first = 0; first < batch; first += MatMulRun.MaxRows)
        {
            int rows = Math.Min(MatMulRun.MaxRows, batch - first);
            float* from = x + ((long)first * run.Inputs);
            float* to = y + ((long)first * run.Outputs);
            run.Prepare(from, rows, scratch, shared: threads > 1);
            int together = run.PartsTogether(rows);
            Share(threads, (run.Parts + together - 1) / together, (group, count) => run.Run(tiles, scratch, rows, group * together, Math.Min(count * together, run.Parts - (group * together)), null, to));
        }
    }

    /// <summary>Times both, and reading the weight in between.</summary>
    private static (KernelTime One, KernelTime Many) Measure(KernelBenchmarkOptions options, byte* weight, long bytes, Action<int> one, Action<int> many, CancellationToken cancellation)
    {
        List<double>[] kernels = [[], []];
        List<double>[] reads = [[], []];
        Action<int>[] runs = [one, many];
        int[] threads = [1, options.Threads];
        long start = Stopwatch.GetTimestamp();
        for (int round = 0; round < LeastRounds || (round < MostRounds && Stopwatch.GetElapsedTime(start) < options.Enough); round++)
        {
            for (int i = 0; i < runs.Length; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                int count = threads[i];
                Action<int> run = runs[i];
                run(count); // What the other run moved to other cores comes back.
                kernels[i].Add(Seconds(() => run(count)));
                reads[i].Add(Seconds(() => Read(weight, bytes, count, (round & 1) != 0)));
            }
        }

        KernelTime Time(int i)
        {
            double kernel = Median(kernels[i]);
            return new()
            {
                Milliseconds = kernel * 1e3,
                Gbps = bytes / kernel / 1e9,
                ReadShare = Median(reads[i]) / kernel,
                GigaMultiplications = (double)options.Batch * options.Rows * options.Columns / kernel / 1e9,
            };
        }

        return (Time(0), Time(1));
    }

    /// <summary>Reads the weight, each thread as much at a time as it multiplies with.</summary>
    private static void Read(byte* weight, long bytes, int threads, bool prefetch) => Share(threads, (int)Math.Max(1, bytes / ReadBytes), (part, count) => MemoryRead.Run(weight + (part * (long)ReadBytes), Math.Min(count * (long)ReadBytes, bytes - (part * (long)ReadBytes)), prefetch));

    internal static double Median(List<double> times) => times.Order().ElementAt(times.Count / 2);

    internal static double Seconds(Action action)
    {
        long start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>Calls for as many equal ranges as there are threads, at once.</summary>
    internal static void Split(int threads, long length, Action<long, long> range)
    {
        if (threads == 1)
        {
            range(0, length);
            return;
        }

        ThreadTeam.Run(threads, t =>
        {
            long first = length * t / threads;
            range(first, (length * (t + 1) / threads) - first);
        });
    }

    /// <summary>The same in small pieces, as the operators' threads take them (WorkSplit): each begins with its own share, so that what it read or wrote the last time is in its caches, and then helps the others.</summary>
    internal static void Share(int threads, int parts, Action<int, int> range)
    {
        if (threads == 1)
        {
            range(0, parts);
            return;
        }

        int[] taken = new int[threads];
        ThreadTeam.Run(threads, thread =>
        {
            for (int i = 0; i < threads; i++)
            {
                int share = (thread + i) % threads;
                for (int piece = Interlocked.Increment(ref taken[share]); piece <= PiecesPerThread; piece = Interlocked.Increment(ref taken[share]))
                {
                    long end = ((long)share * PiecesPerThread) + piece;
                    int first = Begin(end - 1);
                    range(first, Begin(end) - first);
                }
            }
        });

        int Begin(long piece) => (int)(parts * piece / ((long)threads * PiecesPerThread));
    }
}
