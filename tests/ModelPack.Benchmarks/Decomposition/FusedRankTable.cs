using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.ML.OnnxRuntime;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Toolchain;

namespace ModelPack.Benchmarks.Decomposition;

/// <summary>
/// What a fused product of low rank could gain: y = (x A^T) B^T for some rows at a time, so that what is between stays in the cache, beside both products one after the other over all rows. One thread; both take turns.
/// </summary>
internal static unsafe class FusedRankTable
{
    private const double MeasuredMilliseconds = 80;

    private static readonly int[] Sizes = [256, 1024, 2048, 4096];

    private static readonly int[] Chunks = [8, 32, 64];

    /// <param name="rows">Rows of activations.</param>
    /// <param name="format">Number format of the factors.</param>
    public static string ToMarkdown(int rows, string format)
    {
        var text = new StringBuilder().Append(CultureInfo.InvariantCulture, $"{rows} rows, factors of a quarter of the parameters in {format}, one thread: ms of the whole matrix in the same format, and of the factors one after the other; times as fast as these with so many rows at a time\n\n| matrix | rank | ms whole | ms factors | whole / factors |");
        int[] chunks = [.. Chunks.Where(c => c < rows)];
        foreach (int chunk in chunks)
        {
            text.Append(CultureInfo.InvariantCulture, $" {chunk} |");
        }

        text.Append("\n|---|---|---|---|---|").Append(string.Concat(Enumerable.Repeat("---|", chunks.Length))).Append('\n');
        foreach (int size in Sizes)
        {
            int rank = size / 8;
            using var first = BenchedWeight.Make(format, rank, size);
            using var second = BenchedWeight.Make(format, size, rank);
            using var whole = BenchedWeight.Make(format, size, size);
            using var low = new Product(first, second, whole, rows);
            double[] best = [.. Enumerable.Repeat(double.MaxValue, chunks.Length + 2)];
            long start = Stopwatch.GetTimestamp();
            for (int run = 0; run < 5 || Stopwatch.GetElapsedTime(start).TotalMilliseconds < MeasuredMilliseconds * best.Length; run++)
            {
                for (int way = 0; way < best.Length; way++)
                {
                    long begin = Stopwatch.GetTimestamp();
                    low.Run(way == 0 ? 0 : way == 1 ? rows : chunks[way - 2]);
                    best[way] = Math.Min(best[way], Stopwatch.GetElapsedTime(begin).TotalMilliseconds);
                }
            }

            text.Append(CultureInfo.InvariantCulture, $"| {size} x {size} | {rank} | {best[0]:0.0000} | {best[1]:0.0000} | {best[0] / best[1]:0.00} |").Append(string.Concat(best.Skip(2).Select(b => string.Create(CultureInfo.InvariantCulture, $" {best[1] / b:0.00} |")))).Append('\n');
        }

        return text.ToString();
    }

    /// <summary>What a node costs before it computes anything, which is all that one operator instead of two saves at one row.</summary>
    public static string NodeCost()
    {
        using PackedModel one = OrtProduct.Chain(1);
        using PackedModel nine = OrtProduct.Chain(9);
        using OrtValue x = OrtValue.CreateTensorValueFromMemory(new float[1], [1]);
        var named = new Dictionary<string, OrtValue> { ["x"] = x };
        double[] best = [double.MaxValue, double.MaxValue];
        for (int run = 0; run < 20_000; run++)
        {
            for (int way = 0; way < 2; way++)
            {
                long begin = Stopwatch.GetTimestamp();
                (way == 0 ? one : nine).Run(named).Dispose();
                best[way] = Math.Min(best[way], Stopwatch.GetElapsedTime(begin).TotalMicroseconds);
            }
        }

        return string.Create(CultureInfo.InvariantCulture, $"A node costs {(best[1] - best[0]) / 8:0.00} microseconds beside what it computes.");
    }

    /// <summary>Both products with room for what is between.</summary>
    private sealed class Product : IDisposable
    {
        private readonly int _rows;
        private readonly BenchedWeight _a;
        private readonly BenchedWeight _b;
        private readonly BenchedWeight _dense;
        private readonly MatMulRun _whole;
        private readonly MatMulRun _first;
        private readonly MatMulRun _second;
        private readonly float* _x;
        private readonly float* _between;
        private readonly float* _y;
        private readonly void* _scratch;

        public Product(BenchedWeight first, BenchedWeight second, BenchedWeight whole, int rows)
        {
            _rows = rows;
            (_a, _b, _dense) = (first, second, whole);
            _whole = new MatMulRun(whole.Weight, MatMulArithmetic.Float, KernelTiers.Current);
            _first = new MatMulRun(first.Weight, MatMulArithmetic.Float, KernelTiers.Current);
            _second = new MatMulRun(second.Weight, MatMulArithmetic.Float, KernelTiers.Current);
            _x = (float*)NativeMemory.AlignedAlloc((nuint)((long)rows * first.Weight.Layout.Columns * sizeof(float)), 64);
            _between = (float*)NativeMemory.AlignedAlloc((nuint)((long)rows * first.Weight.Layout.Rows * sizeof(float)), 64);
            _y = (float*)NativeMemory.AlignedAlloc((nuint)((long)rows * second.Weight.Layout.Rows * sizeof(float)), 64);
            _scratch = NativeMemory.AlignedAlloc((nuint)Math.Max(_whole.ScratchBytes(rows), Math.Max(_first.ScratchBytes(rows), _second.ScratchBytes(rows))), 64);
            Values.Weights(1, rows * first.Weight.Layout.Columns).CopyTo(new Span<float>(_x, rows * first.Weight.Layout.Columns));
        }

        /// <param name="chunk">Rows at a time; 0: the whole matrix.</param>
        public void Run(int chunk)
        {
            if (chunk == 0)
            {
                _whole.Prepare(_x, _rows, _scratch);
                _whole.Tiles(_dense.Tiles, _scratch, _rows, 0, _dense.Weight.Layout.Tiles, null, _y);
                return;
            }

            (int inputs, int rank, int outputs) = (_a.Weight.Layout.Columns, _a.Weight.Layout.Rows, _b.Weight.Layout.Rows);
            for (int row = 0; row < _rows; row += chunk)
            {
                int some = Math.Min(chunk, _rows - row);
                _first.Prepare(_x + ((long)row * inputs), some, _scratch);
                _first.Tiles(_a.Tiles, _scratch, some, 0, _a.Weight.Layout.Tiles, null, _between);
                _second.Prepare(_between, some, _scratch);
                _second.Tiles(_b.Tiles, _scratch, some, 0, _b.Weight.Layout.Tiles, null, _y + ((long)row * outputs));
            }
        }

        public void Dispose()
        {
            NativeMemory.AlignedFree(_x);
            NativeMemory.AlignedFree(_between);
            NativeMemory.AlignedFree(_y);
            NativeMemory.AlignedFree(_scratch);
        }
    }
}
