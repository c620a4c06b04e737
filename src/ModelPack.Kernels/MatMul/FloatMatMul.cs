using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// One tile times several rows of activations in f32. A panel of the tile, at most <see cref="PanelColumns"/> columns, is decoded once into the first cache and multiplied with all rows, eight at a time: lane = row of the
/// weight, an accumulator per row of activations.
/// </summary>
internal static unsafe class FloatMatMul<TSimd, TCodes, TValues>
    where TSimd : struct, ISimd<TSimd>
    where TCodes : struct, ICodes
    where TValues : struct, IValues
{
    /// <summary>Columns of a panel: 16 KiB of f32.</summary>
    public const int PanelColumns = 256;

    /// <summary>Rows of activations that are multiplied together.</summary>
    public const int Batch = 8;

    /// <param name="tile">The tile.</param>
    /// <param name="weight">What codes mean.</param>
    /// <param name="x">Activations in groups of eight rows, [groups][padded columns][8]; rows that do not exist are zero.</param>
    /// <param name="groups">Groups of eight rows.</param>
    /// <param name="panel">[PanelColumns, 16] scratch.</param>
    /// <param name="y">[8 x groups, 16] sums.</param>
    public static void Run(byte* tile, in TileWeight weight, float* x, int groups, float* panel, float* y)
    {
        int step = PanelColumns / TCodes.UnitColumns;
        float* scratch = stackalloc float[TileScales.Scratch];
        new Span<float>(y, Batch * TileLayout.TileRows * groups).Clear();
        for (int unit = 0; unit < weight.Units; unit += step)
        {
            int units = Math.Min(step, weight.Units - unit);
            Decode(tile, weight, unit, units, scratch, panel);
            for (int group = 0; group < groups; group++)
            {
                float* activations = x + (Batch * (((long)group * weight.PaddedColumns) + ((long)unit * TCodes.UnitColumns)));
                for (int row = 0; row < TileLayout.TileRows; row += TSimd.Count)
                {
                    Multiply(panel + row, activations, units * TCodes.UnitColumns, y + (Batch * TileLayout.TileRows * group) + row);
                }
            }
        }

        TSimd multiplier = TSimd.Create(weight.Multiplier);
        for (int i = 0; i < Batch * TileLayout.TileRows * groups; i += TSimd.Count)
        {
            TSimd.Store(TSimd.Multiply(TSimd.Load(y + i), multiplier), y + i);
        }
    }

    /// <summary>Values times scales of units of a tile, [columns, 16].</summary>
    private static void Decode(byte* tile, in TileWeight weight, int unit, int units, float* scratch, float* panel)
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
                DecodeBlock(codes, count, weight.Table, zeros + row, scales + row, panel + row);
            }

            unit += count;
            panel += count * TCodes.UnitColumns * TileLayout.TileRows;
            scales += TileLayout.TileRows;
            zeros += weight.ZeroStride;
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void DecodeBlock(byte* unit, int units, float* table, float* zeros, float* scales, float* to)
    {
        TSimd zero = TSimd.Load(zeros);
        TSimd scale = TSimd.Load(scales);
        for (int i = 0; i < units; i++)
        {
            Group(unit, 0, table, zero, scale, to);
            Group(unit, 1, table, zero, scale, to);
            Group(unit, 2, table, zero, scale, to);
            Group(unit, 3, table, zero, scale, to);
            if (TCodes.UnitColumns == 32)
            {
                Group(unit, 4, table, zero, scale, to);
                Group(unit, 5, table, zero, scale, to);
                Group(unit, 6, table, zero, scale, to);
                Group(unit, 7, table, zero, scale, to);
            }

            unit += TileLayout.TileRows * TCodes.UnitColumns * TCodes.Bits / 8;
            to += TCodes.UnitColumns * TileLayout.TileRows;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Group(byte* unit, int group, float* table, TSimd zero, TSimd scale, float* to)
    {
        float* at = to + (4 * group * TileLayout.TileRows);
        TValues.Get<TSimd, TCodes>(unit, group, table, zero, out TSimd a, out TSimd b, out TSimd c, out TSimd d);
        TSimd.Store(TSimd.Multiply(a, scale), at);
        TSimd.Store(TSimd.Multiply(b, scale), at + TileLayout.TileRows);
        TSimd.Store(TSimd.Multiply(c, scale), at + (2 * TileLayout.TileRows));
        TSimd.Store(TSimd.Multiply(d, scale), at + (3 * TileLayout.TileRows));
    }

    /// <summary>Adds panel x activations to the sums of eight rows.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Multiply(float* panel, float* x, int columns, float* y)
    {
        TSimd a = TSimd.Load(y);
        TSimd b = TSimd.Load(y + TileLayout.TileRows);
        TSimd c = TSimd.Load(y + (2 * TileLayout.TileRows));
        TSimd d = TSimd.Load(y + (3 * TileLayout.TileRows));
        TSimd e = TSimd.Load(y + (4 * TileLayout.TileRows));
        TSimd f = TSimd.Load(y + (5 * TileLayout.TileRows));
        TSimd g = TSimd.Load(y + (6 * TileLayout.TileRows));
        TSimd h = TSimd.Load(y + (7 * TileLayout.TileRows));
        for (float* end = panel + ((long)columns * TileLayout.TileRows); panel < end; panel += TileLayout.TileRows)
        {
            TSimd w = TSimd.Load(panel);
            a = TSimd.MultiplyAdd(w, TSimd.Broadcast(x), a);
            b = TSimd.MultiplyAdd(w, TSimd.Broadcast(x + 1), b);
            c = TSimd.MultiplyAdd(w, TSimd.Broadcast(x + 2), c);
            d = TSimd.MultiplyAdd(w, TSimd.Broadcast(x + 3), d);
            e = TSimd.MultiplyAdd(w, TSimd.Broadcast(x + 4), e);
            f = TSimd.MultiplyAdd(w, TSimd.Broadcast(x + 5), f);
            g = TSimd.MultiplyAdd(w, TSimd.Broadcast(x + 6), g);
            h = TSimd.MultiplyAdd(w, TSimd.Broadcast(x + 7), h);
            x += Batch;
        }

        TSimd.Store(a, y);
        TSimd.Store(b, y + TileLayout.TileRows);
        TSimd.Store(c, y + (2 * TileLayout.TileRows));
        TSimd.Store(d, y + (3 * TileLayout.TileRows));
        TSimd.Store(e, y + (4 * TileLayout.TileRows));
        TSimd.Store(f, y + (5 * TileLayout.TileRows));
        TSimd.Store(g, y + (6 * TileLayout.TileRows));
        TSimd.Store(h, y + (7 * TileLayout.TileRows));
    }
}
