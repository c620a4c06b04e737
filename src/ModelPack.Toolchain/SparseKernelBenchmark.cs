using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
using ModelPack.Runtime;

namespace ModelPack.Toolchain;

/// <summary>Times the block-sparse kernels beside the same kernels with every block there, and ONNX Runtime's dense product.</summary>
/// <remarks>All products take turns, so that a machine that slows down slows down all of them: ratios hold where times do not. Each figure is the median of its runs.</remarks>
internal static unsafe class SparseKernelBenchmark
{
    private const int LeastRounds = 5;

    private const int MostRounds = 500;

    /// <summary>Number formats of the values when none are named.</summary>
    private static readonly string[] DefaultFormats = ["f32", "bf16", "int8", "mxfp4"];

    /// <summary>Measures everything.</summary>
    /// <exception cref="ModelPackException">MP1021, MP1022: a format or the block does not exist, or no kernel reads it.</exception>
    public static IReadOnlyList<BenchedKernel> Run(KernelBenchmarkOptions options, Action<string> report, CancellationToken cancellation)
    {
        var disposables = new List<IDisposable>();
        var candidates = new List<Candidate>();
        try
        {
            foreach (string format in options.Formats.Count == 0 ? DefaultFormats : options.Formats)
            {
                if (options.Gated)
                {
                    foreach (int sparsity in options.Sparsity.Distinct().Order())
                    {
                        report($"gated, {format}, {sparsity} % sparse");
                        var mlp = BenchedMlp.Make(options, format, sparsity);
                        disposables.Add(mlp);
                        candidates.Add(new Candidate($"modelpack:GatedMlp({options.SparseBlock},{format})", format, sparsity, mlp.Bytes, mlp.Fused));
                        candidates.Add(new Candidate($"modelpack:SparseMatMul({options.SparseBlock},{format}) x 3", format, sparsity, mlp.Bytes, mlp.Parts));
                    }

                    continue;
                }

                if (BenchedMaskedWeight.Structure(options.SparseBlock) is UnitSpec structure)
                {
                    foreach (int sparsity in BenchedMaskedWeight.Sparsity(structure) is int own ? [own] : options.Sparsity.Distinct().Order().ToArray())
                    {
                        cancellation.ThrowIfCancellationRequested();
                        report($"{structure}, {format}, {sparsity} % sparse");
                        var masked = BenchedMaskedWeight.Make(structure, format, options.Rows, options.Columns, sparsity);
                        disposables.Add(masked);
                        candidates.Add(Own($"modelpack:MaskedMatMul({structure},{masked.Weight.Format.Id})", format, masked.Weight.Bytes, new MaskedMatMulRun(masked.Weight, KernelTiers.Current), masked.Tiles, options, sparsity));
                    }

                    continue;
                }

                // What sparse products are compared with: all blocks there, in f32.
                foreach (int sparsity in (format == "f32" ? options.Sparsity.Append(0) : options.Sparsity).Distinct().Order())
                {
                    cancellation.ThrowIfCancellationRequested();
                    report($"{format}, {sparsity} % sparse");
                    var weight = BenchedSparseWeight.Make(options.SparseBlock, format, options.Rows, options.Columns, sparsity);
                    disposables.Add(weight);
                    candidates.Add(Own($"modelpack:SparseMatMul({options.SparseBlock},{weight.Weight.Format.Id})", format, weight.Weight.Bytes, new SparseMatMulRun(weight.Weight, KernelTiers.Current), weight.Tiles, options, sparsity));
                }
            }

            var product = new OrtProduct(0, 0, 0);
            if (!options.Gated && product.Fits(options.Rows, options.Columns))
            {
                report(product.Kernel);
                candidates.Add(Theirs(product, options, disposables));
            }

            Measure(candidates, options, report, cancellation);
            return [.. candidates.Select(c => c.Result(options))];
        }
        finally
        {
            disposables.ForEach(d => d.Dispose());
        }
    }

    /// <summary>Measures the kernel of one structure alone.</summary>
    /// <param name="structure">Of the weight.</param>
    /// <param name="format">Number format of its values.</param>
    /// <param name="sparsity">Percent that is not stored, where the structure does not say it itself.</param>
    /// <param name="options">Shape, threads and time.</param>
    /// <param name="cancellation">Checked between runs.</param>
    /// <returns>The times, and the share of the places of the matrix that the kernel goes through.</returns>
    /// <exception cref="ModelPackException">MP1021, MP1022: the format or the structure does not exist, or no kernel reads it.</exception>
    public static (BenchedKernel Kernel, double Places) One(UnitSpec structure, string format, int sparsity, KernelBenchmarkOptions options, CancellationToken cancellation)
    {
        if (structure.Id == "blocksparse")
        {
            string block = structure.Text("block", "");
            using var weight = BenchedSparseWeight.Make(block, format, options.Rows, options.Columns, sparsity);
            return (Alone($"modelpack:SparseMatMul({block},{weight.Weight.Format.Id})", weight.Weight.Bytes, new SparseMatMulRun(weight.Weight, KernelTiers.Current), weight.Tiles, sparsity), weight.Weight.Density);
        }

        using var masked = BenchedMaskedWeight.Make(structure, format, options.Rows, options.Columns, sparsity);
        return (Alone($"modelpack:MaskedMatMul({structure},{masked.Weight.Format.Id})", masked.Weight.Bytes, new MaskedMatMulRun(masked.Weight, KernelTiers.Current), masked.Tiles, BenchedMaskedWeight.Sparsity(structure) ?? sparsity), 1);

        BenchedKernel Alone(string kernel, long bytes, IMatMulRun run, byte* tiles, int absent)
        {
            Candidate candidate = Own(kernel, format, bytes, run, tiles, options, absent);
            Measure([candidate], options, _ => { }, cancellation);
            return candidate.Result(options);
        }
    }

    /// <summary>Measures a gated perceptron of f32 blocks of 32 x 32, nine of ten of them zero, as one operator beside its products.</summary>
    /// <param name="width">Its inputs and outputs.</param>
    /// <param name="hidden">Its neurons.</param>
    /// <param name="rows">Rows of activations.</param>
    /// <param name="threads">Threads beside one.</param>
    /// <param name="enough">Time for each.</param>
    /// <param name="cancellation">Checked between runs.</param>
    public static GatedMlpConstant Gated(int width, int hidden, int rows, int threads, TimeSpan enough, CancellationToken cancellation)
    {
        var options = new KernelBenchmarkOptions { Formats = ["f32"], Rows = hidden, Columns = width, Batch = rows, Threads = threads, Enough = enough, Gated = true, SparseBlock = "32x32", Sparsity = [90] };
        IReadOnlyList<BenchedKernel> times = Run(options, _ => { }, cancellation);
        return new GatedMlpConstant(times[0].WeightBytes, rows, new ThreadTimes(times[0].One.Milliseconds / times[1].One.Milliseconds, times[0].Many.Milliseconds / times[1].Many.Milliseconds));
    }

    private static Candidate Own(string kernel, string format, long bytes, IMatMulRun run, byte* tiles, KernelBenchmarkOptions options, int sparsity)
    {
        float[] x = Pinned(GaussianError.Sample(options.Batch * options.Columns, 1));
        float[] y = GC.AllocateUninitializedArray<float>(checked(options.Batch * options.Rows), pinned: true);
        byte[] memory = GC.AllocateUninitializedArray<byte>((int)run.ScratchBytes(Math.Min(options.Batch, MatMulRun.MaxRows)) + 64, pinned: true);
        void Product(int threads)
        {
            byte* scratch = (byte*)(((nint)Marshal.UnsafeAddrOfPinnedArrayElement(memory, 0) + 63) & -64);
            KernelBenchmark.Multiply(run, tiles, (float*)Marshal.UnsafeAddrOfPinnedArrayElement(x, 0), options.Batch, scratch, (float*)Marshal.UnsafeAddrOfPinnedArrayElement(y, 0), threads);
        }

        return new Candidate(kernel, format, sparsity, bytes, Product);
    }

    private static Candidate Theirs(OrtProduct product, KernelBenchmarkOptions options, List<IDisposable> disposables)
    {
        byte[] codes = product.Codes(options.Rows, options.Columns);
        PackedModel one = product.Open(codes, options.Rows, options.Columns, 1);
        disposables.Add(one);
        PackedModel many = product.Open(codes, options.Rows, options.Columns, options.Threads);
        disposables.Add(many);
        var input = OrtValue.CreateTensorValueFromMemory(GaussianError.Sample(options.Batch * options.Columns, 1), [options.Batch, options.Columns]);
        disposables.Add(input);
        var inputs = new Dictionary<string, OrtValue> { ["x"] = input };
        return new Candidate(product.Kernel, product.Format, 0, codes.LongLength, threads => (threads == 1 ? one : many).Run(inputs).Dispose());
    }

    private static void Measure(List<Candidate> candidates, KernelBenchmarkOptions options, Action<string> report, CancellationToken cancellation)
    {
        report("taking turns");
        long start = Stopwatch.GetTimestamp();
        TimeSpan enough = options.Enough * candidates.Count;
        for (int round = 0; round < LeastRounds || (round < MostRounds && Stopwatch.GetElapsedTime(start) < enough); round++)
        {
            foreach (Candidate candidate in candidates)
            {
                cancellation.ThrowIfCancellationRequested();
                candidate.Time(options.Threads);
            }
        }
    }

    private static float[] Pinned(float[] values)
    {
        float[] pinned = GC.AllocateUninitializedArray<float>(values.Length, pinned: true);
        values.CopyTo(pinned, 0);
        return pinned;
    }

    private sealed class Candidate(string kernel, string format, int sparsity, long bytes, Action<int> product)
    {
        private readonly List<double> _one = [];
        private readonly List<double> _many = [];

        /// <summary>One run on one thread and one on many. The run before each, on as many threads, brings what stays in their caches between runs of a model back there.</summary>
        public void Time(int threads)
        {
            product(1);
            _one.Add(KernelBenchmark.Seconds(() => product(1)));
            product(threads);
            _many.Add(KernelBenchmark.Seconds(() => product(threads)));
        }

        public BenchedKernel Result(KernelBenchmarkOptions options) => new()
        {
            Kernel = kernel,
            Format = format,
            Block = 0,
            Sparsity = sparsity,
            WeightBytes = bytes,
            One = Of(options, KernelBenchmark.Median(_one)),
            Many = Of(options, KernelBenchmark.Median(_many)),
        };

        private KernelTime Of(KernelBenchmarkOptions options, double seconds) => new()
        {
            Milliseconds = seconds * 1e3,
            Gbps = bytes / seconds / 1e9,
            GigaMultiplications = (double)options.Batch * options.Rows * options.Columns / seconds / 1e9,
        };
    }
}
