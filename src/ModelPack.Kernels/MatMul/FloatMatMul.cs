using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// One or two tiles times several rows of activations in f32. A panel of the tiles, at most <see cref="PanelColumns"/> columns, is decoded once into the first cache and multiplied with all rows, eight at a time.
/// </summary>
internal static unsafe class FloatMatMul<TSimd, TCodes, TValues>
    where TSimd : struct, ISimd<TSimd>
    where TCodes : struct, ICodes
    where TValues : struct, IValues
{
    /// <summary>Columns of a panel: 16 KiB of f32 per tile.</summary>
    public const int PanelColumns = 256;

    /// <summary>Most tiles of a call.</summary>
    public const int MaxTiles = 2;

    /// <param name="tile">The first tile; the second follows it.</param>
    /// <param name="tiles">One or two.</param>
    /// <param name="weight">What codes mean.</param>
    /// <param name="x">Activations in groups of eight rows, [groups][padded columns][8]; rows that do not exist are zero.</param>
    /// <param name="panel">[PanelColumns, 16 x tiles] scratch.</param>
    /// <param name="sums">[rows filled up to eights, 16 x tiles] scratch.</param>
    /// <param name="output">Where outputs go.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(byte* tile, int tiles, in TileWeight weight, float* x, float* panel, float* sums, in TileOutput output)
    {
        int start;
        int step = PanelColumns / TCodes.UnitColumns;
        for (int unit = 0; unit < weight.Units; unit += step)
        {
            int units = Math.Min(step, weight.Units - unit);
            start = unit * TCodes.UnitColumns;
            Panel(tile, tiles, weight, unit, units, x, weight.PaddedColumns, new ColumnRuns(&start, 1, units * TCodes.UnitColumns), panel, unit == 0, unit + units == weight.Units, sums, output);
        }
    }

    /// <summary>As <see cref="Run"/> where the columns of the tiles are runs of those of the activations.</summary>
    /// <param name="tile">The first tile; the second follows it.</param>
    /// <param name="tiles">One or two.</param>
    /// <param name="weight">What codes mean; its columns are those of all runs.</param>
    /// <param name="x">Activations as for <see cref="Run"/>.</param>
    /// <param name="columns">Their padded columns.</param>
    /// <param name="runs">The runs, at most <see cref="PanelColumns"/> long, a multiple of the units; there may be none.</param>
    /// <param name="panel">[PanelColumns, 16 x tiles] scratch.</param>
    /// <param name="sums">[rows filled up to eights, 16 x tiles] scratch.</param>
    /// <param name="output">Where outputs go.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RunSparse(byte* tile, int tiles, in TileWeight weight, float* x, int columns, in ColumnRuns runs, float* panel, float* sums, in TileOutput output)
    {
        int together = PanelColumns / runs.Columns;
        int units = runs.Columns / TCodes.UnitColumns;
        for (int run = 0; run < runs.Count; run += together)
        {
            var some = new ColumnRuns(runs.Starts + run, Math.Min(together, runs.Count - run), runs.Columns);
            Panel(tile, tiles, weight, run * units, some.Count * units, x, columns, some, panel, run == 0, run + some.Count == runs.Count, sums, output);
        }

        if (runs.Count == 0)
        {
            new Span<float>(sums, TileLayout.TileRows * tiles * output.Rows).Clear();
            output.Store(sums);
        }
    }

    /// <summary>Decodes some units and multiplies them with all rows. Sums go to their places with the last units, where eight rows and all outputs exist.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Panel(byte* tile, int tiles, in TileWeight weight, int unit, int units, float* x, int columns, in ColumnRuns runs, float* panel, bool isFirst, bool isLast, float* sums, in TileOutput output)
    {
        float* scratch = stackalloc float[TileScales.Scratch];
        int width = TileLayout.TileRows * tiles;
        for (int i = 0; i < tiles; i++)
        {
            Decode(tile + (i * weight.TileBytes), weight, unit, units, scratch, panel + (TileLayout.TileRows * i), width);
        }

        if (isLast)
        {
            output.Expect(0, MatMulRun.Batch);
        }

        for (int row = 0; row < output.Rows; row += MatMulRun.Batch)
        {
            if (isLast)
            {
                output.Expect(row + MatMulRun.Batch, MatMulRun.Batch);
            }

            bool places = isLast && output.IsWhole && row + MatMulRun.Batch <= output.Rows;
            var to = new PanelSums(
                isFirst ? null : sums,
                places ? output.Y + ((long)row * output.Stride) : sums,
                places ? output.Stride : width,
                isLast ? weight.Multiplier : 1,
                places ? output.Bias : null);
            FloatPanel<TSimd>.Multiply(panel, width, x + ((long)row * columns), MatMulRun.Batch * (long)columns, runs, to);
            if (isLast && !places)
            {
                output.Store(sums, row, MatMulRun.Batch);
            }

            sums += MatMulRun.Batch * width;
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
}
