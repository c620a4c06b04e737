using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// One or two tiles times several rows of activations in f32. A panel of the tiles, at most <see cref="PanelColumns"/> columns, is decoded once into the first cache and multiplied with all rows, eight at a time. As many
/// accumulators as registers allow: eight rows by two vectors of 16 lanes (two tiles), or four rows by two vectors of 8 or 4 lanes.
/// </summary>
internal static unsafe class FloatMatMul<TSimd, TCodes, TValues>
    where TSimd : struct, ISimd<TSimd>
    where TCodes : struct, ICodes
    where TValues : struct, IValues
{
    /// <summary>Columns of a panel: 16 KiB of f32 per tile.</summary>
    public const int PanelColumns = 256;

    /// <summary>Rows of activations that are stored together.</summary>
    public const int Batch = 8;

    /// <summary>Most tiles of a call.</summary>
    public const int MaxTiles = 2;

    /// <param name="tile">The first tile; the second follows it.</param>
    /// <param name="tiles">One or two.</param>
    /// <param name="weight">What codes mean.</param>
    /// <param name="x">Activations in groups of eight rows, [groups][padded columns][8]; rows that do not exist are zero.</param>
    /// <param name="groups">Groups of eight rows.</param>
    /// <param name="panel">[PanelColumns, 16 x tiles] scratch.</param>
    /// <param name="y">[8 x groups, 16 x tiles] sums.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(byte* tile, int tiles, in TileWeight weight, float* x, int groups, float* panel, float* y)
    {
        int start;
        int step = PanelColumns / TCodes.UnitColumns;
        Clear(tiles, groups, y);
        for (int unit = 0; unit < weight.Units; unit += step)
        {
            int units = Math.Min(step, weight.Units - unit);
            start = unit * TCodes.UnitColumns;
            Panel(tile, tiles, weight, unit, units, x, weight.PaddedColumns, new ColumnRuns(&start, 1, units * TCodes.UnitColumns), groups, panel, y);
        }

        Scale(weight.Multiplier, tiles, groups, y);
    }

    /// <summary>As <see cref="Run"/> where the columns of the tiles are runs of those of the activations.</summary>
    /// <param name="tile">The first tile; the second follows it.</param>
    /// <param name="tiles">One or two.</param>
    /// <param name="weight">What codes mean; its columns are those of all runs.</param>
    /// <param name="x">Activations as for <see cref="Run"/>.</param>
    /// <param name="columns">Their padded columns.</param>
    /// <param name="runs">The runs, at most <see cref="PanelColumns"/> long, a multiple of the units.</param>
    /// <param name="groups">Groups of eight rows.</param>
    /// <param name="panel">[PanelColumns, 16 x tiles] scratch.</param>
    /// <param name="y">[8 x groups, 16 x tiles] sums.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RunSparse(byte* tile, int tiles, in TileWeight weight, float* x, int columns, in ColumnRuns runs, int groups, float* panel, float* y)
    {
        int together = PanelColumns / runs.Columns;
        int units = runs.Columns / TCodes.UnitColumns;
        Clear(tiles, groups, y);
        for (int run = 0; run < runs.Count; run += together)
        {
            var some = new ColumnRuns(runs.Starts + run, Math.Min(together, runs.Count - run), runs.Columns);
            Panel(tile, tiles, weight, run * units, some.Count * units, x, columns, some, groups, panel, y);
        }

        Scale(weight.Multiplier, tiles, groups, y);
    }

    private static void Clear(int tiles, int groups, float* y) => new Span<float>(y, Batch * TileLayout.TileRows * tiles * groups).Clear();

    /// <summary>As the loops above optimised at once: they run for the first time on a whole prompt.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Scale(float factor, int tiles, int groups, float* y)
    {
        TSimd multiplier = TSimd.Create(factor);
        for (int i = 0; i < Batch * TileLayout.TileRows * tiles * groups; i += TSimd.Count)
        {
            TSimd.Store(TSimd.Multiply(TSimd.Load(y + i), multiplier), y + i);
        }
    }

    /// <summary>Decodes some units and multiplies them with all rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Panel(byte* tile, int tiles, in TileWeight weight, int unit, int units, float* x, int columns, in ColumnRuns runs, int groups, float* panel, float* y)
    {
        float* scratch = stackalloc float[TileScales.Scratch];
        int width = TileLayout.TileRows * tiles;
        for (int i = 0; i < tiles; i++)
        {
            Decode(tile + (i * weight.TileBytes), weight, unit, units, scratch, panel + (TileLayout.TileRows * i), width);
        }

        for (int group = 0; group < groups; group++)
        {
            Multiply(panel, width, x + ((long)Batch * group * columns), Batch * (long)columns, runs, y + (Batch * width * group));
        }
    }

    /// <summary>Adds panel x activations to the sums of eight rows; those of the next eight are <paramref name="stride"/> values further.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Multiply(float* panel, int width, float* x, long stride, in ColumnRuns runs, float* y)
    {
        if (width == TSimd.Count)
        {
            EightByOne(panel, width, x, runs, y);
            return;
        }

        for (int first = 0; first < width; first += 2 * TSimd.Count)
        {
            if (TSimd.Count == 16)
            {
                EightByTwo(panel + first, width, x, stride, runs, y + first);
            }
            else
            {
                FourByTwo(panel + first, width, x, runs, y + first);
                FourByTwo(panel + first, width, x + 4, runs, y + (4 * width) + first);
            }
        }
    }

    /// <summary>Values times scales of units of a tile, [columns, width].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Decode(byte* tile, in TileWeight weight, int unit, int units, float* scratch, float* panel, int width)
    {
        int end = unit + units;
        int firstBlock = unit / weight.BlockUnits;
        int blocks = ((end - 1) / weight.BlockUnits) + 1 - firstBlock;
        float* scales = TileScales.Scales<TSimd>(tile, weight.Scale, firstBlock, blocks, scratch);
        float* zeros = TileScales.Zeros<TSimd>(tile, weight, firstBlock, blocks, scratch);
        for (int block = firstBlock; unit < end; block++)
        {
            int count = Math.Min(end, (block + 1) * weight.BlockUnits) - unit;
            for (int row = 0; row < TileLayout.TileRows; row += TSimd.Count)
            {
                byte* codes = tile + weight.CodesOffset + ((long)unit * weight.UnitBytes) + (4 * row);
                DecodeBlock(codes, count, weight.Table, zeros + row, scales + row, panel + row, width);
            }

            unit += count;
            panel += count * TCodes.UnitColumns * width;
            scales += TileLayout.TileRows;
            zeros += weight.ZeroStride;
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void DecodeBlock(byte* unit, int units, float* table, float* zeros, float* scales, float* to, int width)
    {
        TSimd zero = TSimd.Load(zeros);
        TSimd scale = TSimd.Load(scales);
        for (int i = 0; i < units; i++)
        {
            Group(unit, 0, table, zero, scale, to, width);
            Group(unit, 1, table, zero, scale, to, width);
            Group(unit, 2, table, zero, scale, to, width);
            Group(unit, 3, table, zero, scale, to, width);
            if (TCodes.UnitColumns == 32)
            {
                Group(unit, 4, table, zero, scale, to, width);
                Group(unit, 5, table, zero, scale, to, width);
                Group(unit, 6, table, zero, scale, to, width);
                Group(unit, 7, table, zero, scale, to, width);
            }

            unit += TileLayout.TileRows * TCodes.UnitColumns * TCodes.Bits / 8;
            to += TCodes.UnitColumns * width;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Group(byte* unit, int group, float* table, TSimd zero, TSimd scale, float* to, int width)
    {
        float* at = to + (4 * group * width);
        TValues.Get<TSimd, TCodes>(unit, group, table, zero, out TSimd a, out TSimd b, out TSimd c, out TSimd d);
        TSimd.Store(TSimd.Multiply(a, scale), at);
        TSimd.Store(TSimd.Multiply(b, scale), at + width);
        TSimd.Store(TSimd.Multiply(c, scale), at + (2 * width));
        TSimd.Store(TSimd.Multiply(d, scale), at + (3 * width));
    }

    /// <summary>Eight rows by two vectors. Activations of many rows come from the third cache: those of the next run, which begins where no hardware expects it, are asked for while the one before is multiplied.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void EightByTwo(float* panel, int width, float* x, long stride, in ColumnRuns runs, float* y)
    {
        TSimd a0 = TSimd.Load(y);
        TSimd a1 = TSimd.Load(y + TSimd.Count);
        TSimd b0 = TSimd.Load(y + width);
        TSimd b1 = TSimd.Load(y + width + TSimd.Count);
        TSimd c0 = TSimd.Load(y + (2 * width));
        TSimd c1 = TSimd.Load(y + (2 * width) + TSimd.Count);
        TSimd d0 = TSimd.Load(y + (3 * width));
        TSimd d1 = TSimd.Load(y + (3 * width) + TSimd.Count);
        TSimd e0 = TSimd.Load(y + (4 * width));
        TSimd e1 = TSimd.Load(y + (4 * width) + TSimd.Count);
        TSimd f0 = TSimd.Load(y + (5 * width));
        TSimd f1 = TSimd.Load(y + (5 * width) + TSimd.Count);
        TSimd g0 = TSimd.Load(y + (6 * width));
        TSimd g1 = TSimd.Load(y + (6 * width) + TSimd.Count);
        TSimd h0 = TSimd.Load(y + (7 * width));
        TSimd h1 = TSimd.Load(y + (7 * width) + TSimd.Count);
        for (int run = 0; run < runs.Count; run++)
        {
            float* at = x + (Batch * (long)runs.Starts[run]);
            float* next = run + 1 < runs.Count ? x + (Batch * (long)runs.Starts[run + 1]) : x + stride + (Batch * (long)runs.Starts[0]);
            for (int i = 0; i < runs.Columns; i++)
            {
                TSimd w0 = TSimd.Load(panel);
                TSimd w1 = TSimd.Load(panel + TSimd.Count);
                Prefetching.Line((byte*)(next + (Batch * (long)i)));
                TSimd value = TSimd.Broadcast(at);
                a0 = TSimd.MultiplyAdd(w0, value, a0);
                a1 = TSimd.MultiplyAdd(w1, value, a1);
                value = TSimd.Broadcast(at + 1);
                b0 = TSimd.MultiplyAdd(w0, value, b0);
                b1 = TSimd.MultiplyAdd(w1, value, b1);
                value = TSimd.Broadcast(at + 2);
                c0 = TSimd.MultiplyAdd(w0, value, c0);
                c1 = TSimd.MultiplyAdd(w1, value, c1);
                value = TSimd.Broadcast(at + 3);
                d0 = TSimd.MultiplyAdd(w0, value, d0);
                d1 = TSimd.MultiplyAdd(w1, value, d1);
                value = TSimd.Broadcast(at + 4);
                e0 = TSimd.MultiplyAdd(w0, value, e0);
                e1 = TSimd.MultiplyAdd(w1, value, e1);
                value = TSimd.Broadcast(at + 5);
                f0 = TSimd.MultiplyAdd(w0, value, f0);
                f1 = TSimd.MultiplyAdd(w1, value, f1);
                value = TSimd.Broadcast(at + 6);
                g0 = TSimd.MultiplyAdd(w0, value, g0);
                g1 = TSimd.MultiplyAdd(w1, value, g1);
                value = TSimd.Broadcast(at + 7);
                h0 = TSimd.MultiplyAdd(w0, value, h0);
                h1 = TSimd.MultiplyAdd(w1, value, h1);
                panel += width;
                at += Batch;
            }
        }

        TSimd.Store(a0, y);
        TSimd.Store(a1, y + TSimd.Count);
        TSimd.Store(b0, y + width);
        TSimd.Store(b1, y + width + TSimd.Count);
        TSimd.Store(c0, y + (2 * width));
        TSimd.Store(c1, y + (2 * width) + TSimd.Count);
        TSimd.Store(d0, y + (3 * width));
        TSimd.Store(d1, y + (3 * width) + TSimd.Count);
        TSimd.Store(e0, y + (4 * width));
        TSimd.Store(e1, y + (4 * width) + TSimd.Count);
        TSimd.Store(f0, y + (5 * width));
        TSimd.Store(f1, y + (5 * width) + TSimd.Count);
        TSimd.Store(g0, y + (6 * width));
        TSimd.Store(g1, y + (6 * width) + TSimd.Count);
        TSimd.Store(h0, y + (7 * width));
        TSimd.Store(h1, y + (7 * width) + TSimd.Count);
    }

    /// <summary>Eight rows by one vector.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void EightByOne(float* panel, int width, float* x, in ColumnRuns runs, float* y)
    {
        TSimd a0 = TSimd.Load(y);
        TSimd b0 = TSimd.Load(y + width);
        TSimd c0 = TSimd.Load(y + (2 * width));
        TSimd d0 = TSimd.Load(y + (3 * width));
        TSimd e0 = TSimd.Load(y + (4 * width));
        TSimd f0 = TSimd.Load(y + (5 * width));
        TSimd g0 = TSimd.Load(y + (6 * width));
        TSimd h0 = TSimd.Load(y + (7 * width));
        for (int run = 0; run < runs.Count; run++)
        {
            float* at = x + (Batch * (long)runs.Starts[run]);
            for (int i = 0; i < runs.Columns; i++)
            {
                TSimd w0 = TSimd.Load(panel);
                TSimd value = TSimd.Broadcast(at);
                a0 = TSimd.MultiplyAdd(w0, value, a0);
                value = TSimd.Broadcast(at + 1);
                b0 = TSimd.MultiplyAdd(w0, value, b0);
                value = TSimd.Broadcast(at + 2);
                c0 = TSimd.MultiplyAdd(w0, value, c0);
                value = TSimd.Broadcast(at + 3);
                d0 = TSimd.MultiplyAdd(w0, value, d0);
                value = TSimd.Broadcast(at + 4);
                e0 = TSimd.MultiplyAdd(w0, value, e0);
                value = TSimd.Broadcast(at + 5);
                f0 = TSimd.MultiplyAdd(w0, value, f0);
                value = TSimd.Broadcast(at + 6);
                g0 = TSimd.MultiplyAdd(w0, value, g0);
                value = TSimd.Broadcast(at + 7);
                h0 = TSimd.MultiplyAdd(w0, value, h0);
                panel += width;
                at += Batch;
            }
        }

        TSimd.Store(a0, y);
        TSimd.Store(b0, y + width);
        TSimd.Store(c0, y + (2 * width));
        TSimd.Store(d0, y + (3 * width));
        TSimd.Store(e0, y + (4 * width));
        TSimd.Store(f0, y + (5 * width));
        TSimd.Store(g0, y + (6 * width));
        TSimd.Store(h0, y + (7 * width));
    }

    /// <summary>Four rows by two vectors.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void FourByTwo(float* panel, int width, float* x, in ColumnRuns runs, float* y)
    {
        TSimd a0 = TSimd.Load(y);
        TSimd a1 = TSimd.Load(y + TSimd.Count);
        TSimd b0 = TSimd.Load(y + width);
        TSimd b1 = TSimd.Load(y + width + TSimd.Count);
        TSimd c0 = TSimd.Load(y + (2 * width));
        TSimd c1 = TSimd.Load(y + (2 * width) + TSimd.Count);
        TSimd d0 = TSimd.Load(y + (3 * width));
        TSimd d1 = TSimd.Load(y + (3 * width) + TSimd.Count);
        for (int run = 0; run < runs.Count; run++)
        {
            float* at = x + (Batch * (long)runs.Starts[run]);
            for (int i = 0; i < runs.Columns; i++)
            {
                TSimd w0 = TSimd.Load(panel);
                TSimd w1 = TSimd.Load(panel + TSimd.Count);
                TSimd value = TSimd.Broadcast(at);
                a0 = TSimd.MultiplyAdd(w0, value, a0);
                a1 = TSimd.MultiplyAdd(w1, value, a1);
                value = TSimd.Broadcast(at + 1);
                b0 = TSimd.MultiplyAdd(w0, value, b0);
                b1 = TSimd.MultiplyAdd(w1, value, b1);
                value = TSimd.Broadcast(at + 2);
                c0 = TSimd.MultiplyAdd(w0, value, c0);
                c1 = TSimd.MultiplyAdd(w1, value, c1);
                value = TSimd.Broadcast(at + 3);
                d0 = TSimd.MultiplyAdd(w0, value, d0);
                d1 = TSimd.MultiplyAdd(w1, value, d1);
                panel += width;
                at += Batch;
            }
        }

        TSimd.Store(a0, y);
        TSimd.Store(a1, y + TSimd.Count);
        TSimd.Store(b0, y + width);
        TSimd.Store(b1, y + width + TSimd.Count);
        TSimd.Store(c0, y + (2 * width));
        TSimd.Store(c1, y + (2 * width) + TSimd.Count);
        TSimd.Store(d0, y + (3 * width));
        TSimd.Store(d1, y + (3 * width) + TSimd.Count);
    }
}
