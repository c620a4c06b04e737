using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
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
        var text = new StringBuilder().Append(CultureInfo.InvariantCulture, $"{rows} rows, factors of a quarter of the parameters in {format}, one thread: ms one after the other; times as fast with so many rows at a time\n\n| matrix | rank | ms |");
        int[] chunks = [.. Chunks.Where(c => c < rows)];
        foreach (int chunk in chunks)
        {
            text.Append(CultureInfo.InvariantCulture, $" {chunk} |");
        }

        text.Append("\n|---|---|---|").Append(string.Concat(Enumerable.Repeat("---|", chunks.Length))).Append('\n');
        foreach (int size in Sizes)
        {
            int rank = size / 8;
            using var first = BenchedWeight.Make(format, rank, size);
            using var second = BenchedWeight.Make(format, size, rank);
            using var low = new Product(first, second, rows);
            double[] best = [.. Enumerable.Repeat(double.MaxValue, chunks.Length + 1)];
            long start = Stopwatch.GetTimestamp();
            for (int run = 0; run < 5 || Stopwatch.GetElapsedTime(start).TotalMilliseconds < MeasuredMilliseconds * best.Length; run++)
            {
                for (int way = 0; way < best.Length; way++)
                {
                    long begin = Stopwatch.GetTimestamp();
                    low.Run(way == 0 ? rows : chunks[way - 1]);
                    best[way] = Math.Min(best[way], Stopwatch.GetElapsedTime(begin).TotalMilliseconds);
                }
            }

            text.Append(CultureInfo.InvariantCulture, $"| {size} x {size} | {rank} | {best[0]:0.0000} |").Append(string.Concat(best.Skip(1).Select(b => string.Create(CultureInfo.InvariantCulture, $" {best[0] / b:0.00} |")))).Append('\n');
        }

        return text.ToString();
    }

    /// <summary>Both products with room for what is between.</summary>
    private sealed class Product : IDisposable
    {
        private readonly int _rows;
        private readonly BenchedWeight _a;
        private readonly BenchedWeight _b;
        private readonly MatMulRun _first;
        private readonly MatMulRun _second;
        private readonly float* _x;
        private readonly float* _between;
        private readonly float* _y;
        private readonly void* _scratch;

        public Product(BenchedWeight first, BenchedWeight second, int rows)
        {
            _rows = rows;
            (_a, _b) = (first, second);
            _first = new MatMulRun(first.Weight, MatMulArithmetic.Float, KernelTiers.Current);
            _second = new MatMulRun(second.Weight, MatMulArithmetic.Float, KernelTiers.Current);
            _x = (float*)NativeMemory.AlignedAlloc((nuint)((long)rows * first.Weight.Layout.Columns * sizeof(float)), 64);
            _between = (float*)NativeMemory.AlignedAlloc((nuint)((long)rows * first.Weight.Layout.Rows * sizeof(float)), 64);
            _y = (float*)NativeMemory.AlignedAlloc((nuint)((long)rows * second.Weight.Layout.Rows * sizeof(float)), 64);
            _scratch = NativeMemory.AlignedAlloc((nuint)Math.Max(_first.ScratchBytes(rows), _second.ScratchBytes(rows)), 64);
            Values.Weights(1, rows * first.Weight.Layout.Columns).CopyTo(new Span<float>(_x, rows * first.Weight.Layout.Columns));
        }

        public void Run(int chunk)
        {
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
