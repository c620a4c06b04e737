using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
using ModelPack.Testing;

namespace ModelPack.Benchmarks.Kernels;

/// <summary>Kernels on packed weights beside the memory bandwidth and ONNX Runtime's dense product of the same run, one and two threads. Kernels take turns; the best of the rounds counts.</summary>
internal static unsafe class KernelTable
{
    private static readonly string[] Formats = ["int4", "int4(block=128)", "int8(block=128)", "mxfp4", "nvfp4", "nf4", "ternary", "fp8", "mxfp8", "mxfp6", "int3", "int6", "posit8"];

    /// <summary>Prints a table.</summary>
    /// <param name="args">K, N, M and seconds.</param>
    /// <param name="output">Where to.</param>
    public static void Run(string[] args, TextWriter output)
    {
        int k = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 4096;
        int n = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 32768;
        int m = args.Length > 2 ? int.Parse(args[2], CultureInfo.InvariantCulture) : 1;
        int seconds = args.Length > 3 ? int.Parse(args[3], CultureInfo.InvariantCulture) : 2;
        string[] formats = args.Length > 4 ? args[4..] : Formats;
        output.WriteLine($"K={k} N={n} M={m}");
        string columns = m == 1 ? "GB/s | share of read" : "G/s | ";
        output.WriteLine($"| kernel | ms, 1 thread | {columns} | ms, 2 threads | {columns} |");
        output.WriteLine("|---|---|---|---|---|---|---|");
        float[] x = Values.Weights(5, m * k);
        float[] y = new float[(long)m * n];
        float[] values = Values.Weights(1, 256 * k);
        foreach (string format in formats)
        {
            using EncodedMatrix matrix = EncodedMatrix.Encode(format, 256, k, values);
            foreach (MatMulArithmetic arithmetic in Enum.GetValues<MatMulArithmetic>())
            {
                using MatMulWeight weight = MatMulWeight.TryCreate(matrix.Spec, n, k)!;
                using MatMulWeight part = MatMulWeight.TryCreate(matrix.Spec, 256, k)!;
                if (arithmetic == MatMulArithmetic.Integer && !weight.HasIntegerKernel)
                {
                    continue;
                }

                byte* tiles = (byte*)NativeMemory.AlignedAlloc((nuint)weight.Bytes, 64);
                for (int tile = 0; tile < weight.Layout.Tiles; tile += 16)
                {
                    part.Pack(matrix.Streams(part.Roles), 0, Math.Min(16, weight.Layout.Tiles - tile), (nint)(tiles + (tile * weight.Layout.TileBytes)));
                }

                var run = new MatMulRun(weight, arithmetic, KernelTiers.Current);
                void* scratch = NativeMemory.AlignedAlloc((nuint)run.ScratchBytes(m), 64);
                double[] best = [double.MaxValue, double.MaxValue, double.MaxValue, double.MaxValue];
                fixed (float* input = x, to = y)
                {
                    for (long end = Stopwatch.GetTimestamp() + (seconds * Stopwatch.Frequency), round = 0; round < 5 || Stopwatch.GetTimestamp() < end; round++)
                    {
                        for (int threads = 1; threads <= 2; threads++)
                        {
                            nint from = (nint)input;
                            nint destination = (nint)to;
                            nint space = (nint)scratch;
                            Measure(ref best[threads - 1], threads, weight.Layout.Tiles, () => run.Prepare((float*)from, m, (void*)space), (first, count) => run.Tiles(tiles, (void*)space, m, first, count, null, (float*)destination));
                            if (m == 1)
                            {
                                Measure(ref best[threads + 1], threads, weight.Layout.Tiles, () => { }, (first, count) => Read(tiles + (first * weight.Layout.TileBytes), count * weight.Layout.TileBytes));
                            }
                        }
                    }
                }

                double bytes = weight.Bytes / 1e6;
                output.WriteLine($"| {format} {arithmetic} | {Cells(best[0], best[2])} | {Cells(best[1], best[3])} |");

                // Share of the time that reading the same bytes takes; for several rows, billions of multiplications per second.
                string Cells(double time, double read) => m == 1
                    ? string.Create(CultureInfo.InvariantCulture, $"{time:0.0000} | {bytes / time:0.0} | {read / time:0.00}")
                    : string.Create(CultureInfo.InvariantCulture, $"{time:0.00} | {(double)m * n * k / time / 1e6:0} | ");
                output.Flush();
                NativeMemory.AlignedFree(tiles);
                NativeMemory.AlignedFree(scratch);
            }
        }
    }

    private static void Measure(ref double best, int threads, int tiles, Action prepare, Action<int, int> range)
    {
        long start = Stopwatch.GetTimestamp();
        prepare();
        if (threads == 1)
        {
            range(0, tiles);
        }
        else
        {
            Parallel.For(0, threads, new ParallelOptions { MaxDegreeOfParallelism = threads }, t => range(tiles * t / threads, (tiles * (t + 1) / threads) - (tiles * t / threads)));
        }

        best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalMilliseconds);
    }

    /// <summary>Reads memory as fast as the CPU can.</summary>
    private static void Read(byte* from, long bytes)
    {
        var a = System.Runtime.Intrinsics.Vector512<byte>.Zero;
        var b = a;
        var c = a;
        var d = a;
        for (long i = 0; i + 256 <= bytes; i += 256)
        {
            a ^= System.Runtime.Intrinsics.Vector512.Load(from + i);
            b ^= System.Runtime.Intrinsics.Vector512.Load(from + i + 64);
            c ^= System.Runtime.Intrinsics.Vector512.Load(from + i + 128);
            d ^= System.Runtime.Intrinsics.Vector512.Load(from + i + 192);
        }

        s_sink = (a ^ b ^ c ^ d)[0];
    }

    private static byte s_sink;
}
