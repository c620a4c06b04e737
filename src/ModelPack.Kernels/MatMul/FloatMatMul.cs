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
        TileLayout layout = weight.Layout;
        int step = PanelColumns / TCodes.UnitColumns;
        new Span<float>(y, Batch * TileLayout.TileRows * groups).Clear();
        for (int unit = 0; unit < layout.Units; unit += step)
        {
            int units = Math.Min(step, layout.Units - unit);
            Decode(tile, weight, unit, units, panel);
            for (int group = 0; group < groups; group++)
            {
                float* activations = x + (Batch * (((long)group * layout.PaddedColumns) + ((long)unit * TCodes.UnitColumns)));
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
    private static void Decode(byte* tile, in TileWeight weight, int first, int units, float* panel)
    {
        TileLayout layout = weight.Layout;
        for (int row = 0; row < TileLayout.TileRows; row += TSimd.Count)
        {
            byte* unit = tile + layout.CodesOffset + ((long)first * layout.UnitBytes) + (4 * row);
            float* to = panel + row;
            int block = -1;
            TSimd scale = TSimd.Zero;
            TSimd zero = TSimd.Create((float)weight.Zero);
            for (int i = first; i < first + units; i++)
            {
                if (i / layout.BlockUnits != block)
                {
                    block = i / layout.BlockUnits;
                    scale = TileScales.Load<TSimd>(tile, layout.Scale, (TileLayout.TileRows * block) + row);
                    zero = layout.HasZeros ? TSimd.ToSingle(TSimd.WidenBytes(tile + layout.ZerosOffset + (TileLayout.TileRows * (long)block) + row)) : zero;
                }

                Group(unit, 0, weight.Table, zero, scale, to);
                Group(unit, 1, weight.Table, zero, scale, to);
                Group(unit, 2, weight.Table, zero, scale, to);
                Group(unit, 3, weight.Table, zero, scale, to);
                if (TCodes.UnitColumns == 32)
                {
                    Group(unit, 4, weight.Table, zero, scale, to);
                    Group(unit, 5, weight.Table, zero, scale, to);
                    Group(unit, 6, weight.Table, zero, scale, to);
                    Group(unit, 7, weight.Table, zero, scale, to);
                }

                unit += layout.UnitBytes;
                to += TCodes.UnitColumns * TileLayout.TileRows;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Group(byte* unit, int group, float* table, TSimd zero, TSimd scale, float* to)
    {
        float* at = to + (4 * group * TileLayout.TileRows);
        TSimd.Store(TSimd.Multiply(TValues.Get<TSimd, TCodes>(unit, group, 0, table, zero), scale), at);
        TSimd.Store(TSimd.Multiply(TValues.Get<TSimd, TCodes>(unit, group, 1, table, zero), scale), at + TileLayout.TileRows);
        TSimd.Store(TSimd.Multiply(TValues.Get<TSimd, TCodes>(unit, group, 2, table, zero), scale), at + (2 * TileLayout.TileRows));
        TSimd.Store(TSimd.Multiply(TValues.Get<TSimd, TCodes>(unit, group, 3, table, zero), scale), at + (3 * TileLayout.TileRows));
    }

    /// <summary>Adds panel x activations to the sums of eight rows.</summary>
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
