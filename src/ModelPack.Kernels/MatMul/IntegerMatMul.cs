using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// One tile times rows of activations that were rounded to 8 bits: integer sums of every block are exact in 32 bits, then multiplied with the scales of weight and activations in f32. Lane = row of the weight, four columns
/// per instruction.
/// </summary>
internal static unsafe class IntegerMatMul<TSimd, TCodes, TMap>
    where TSimd : struct, ISimd<TSimd>
    where TCodes : struct, ICodes
    where TMap : struct, IByteMap
{
    /// <summary>Columns whose codes are unpacked together: 8 KiB of a half tile.</summary>
    public const int PanelColumns = 512;

    /// <summary>Rows of activations multiplied together.</summary>
    public const int Batch = 4;

    /// <summary>One row of activations.</summary>
    /// <param name="tile">The tile.</param>
    /// <param name="weight">What codes mean.</param>
    /// <param name="x">The activations.</param>
    /// <param name="row">Which row of them.</param>
    /// <param name="y">[16] sums.</param>
    public static void RunRow(byte* tile, in TileWeight weight, in ActivationCodes x, int row, float* y)
    {
        TileLayout layout = weight.Layout;
        sbyte* codes = x.Codes + ((long)row * layout.PaddedColumns);
        float* scales = x.Scales + ((long)row * layout.Blocks);
        int* sums = x.Sums + ((long)row * layout.Blocks);
        for (int first = 0; first < TileLayout.TileRows; first += TSimd.Count)
        {
            TSimd map = weight.ByteTable == null ? TSimd.Zero : TSimd.RepeatBytes(weight.ByteTable);
            byte* unit = tile + layout.CodesOffset + (4 * first);
            sbyte* at = codes;
            TSimd total = TSimd.Zero;
            int left = layout.Units;
            for (int block = 0; block < layout.Blocks; block++)
            {
                int units = Math.Min(left, layout.BlockUnits);
                left -= units;
                TSimd sum = Block(unit, units, layout.UnitBytes, at, map);
                TSimd zero = layout.HasZeros
                    ? TSimd.MultiplyIntegers(TSimd.WidenBytes(tile + layout.ZerosOffset + (TileLayout.TileRows * (long)block) + first), TSimd.Create(sums[block]))
                    : TSimd.Create(weight.ByteZero * sums[block]);
                TSimd scale = TSimd.Multiply(TileScales.Load<TSimd>(tile, layout.Scale, (TileLayout.TileRows * block) + first), TSimd.Create(scales[block]));
                total = TSimd.MultiplyAdd(TSimd.ToSingle(TSimd.SubtractIntegers(sum, zero)), scale, total);
                unit += (long)units * layout.UnitBytes;
                at += units * TCodes.UnitColumns;
            }

            TSimd.Store(TSimd.Multiply(total, TSimd.Create(weight.ByteMultiplier)), y + first);
        }
    }

    /// <summary>All rows of activations, the codes of a panel unpacked once for all of them.</summary>
    /// <param name="tile">The tile.</param>
    /// <param name="weight">What codes mean.</param>
    /// <param name="x">The activations; their number of rows is filled up to a multiple of <see cref="Batch"/>.</param>
    /// <param name="panel">[16 x PanelColumns] bytes of scratch.</param>
    /// <param name="partial">[rows, 16] integers of scratch.</param>
    /// <param name="y">[rows, 16] sums.</param>
    public static void Run(byte* tile, in TileWeight weight, in ActivationCodes x, byte* panel, int* partial, float* y)
    {
        TileLayout layout = weight.Layout;
        int step = PanelColumns / TCodes.UnitColumns;
        int rows = x.PaddedRows;
        new Span<float>(y, rows * TileLayout.TileRows).Clear();
        int unit = 0;
        for (int block = 0; block < layout.Blocks; block++)
        {
            int end = Math.Min(layout.Units, unit + layout.BlockUnits);
            for (int part = unit; part < end; part += step)
            {
                int units = Math.Min(step, end - part);
                Unpack(tile + layout.CodesOffset + ((long)part * layout.UnitBytes), weight, units, panel);
                bool opens = part == unit;
                bool closes = part + units == end;
                for (int first = 0; first < TileLayout.TileRows; first += TSimd.Count)
                {
                    for (int row = 0; row < rows; row += Batch)
                    {
                        sbyte* codes = x.Codes + ((long)row * layout.PaddedColumns) + ((long)part * TCodes.UnitColumns);
                        Multiply(panel + (4 * first), codes, layout.PaddedColumns, units * TCodes.UnitColumns / 4, partial + (TileLayout.TileRows * row) + first, opens);
                        if (closes)
                        {
                            Scale(tile, weight, x, block, first, row, partial, y);
                        }
                    }
                }
            }

            unit = end;
        }

        TSimd multiplier = TSimd.Create(weight.ByteMultiplier);
        for (int i = 0; i < rows * TileLayout.TileRows; i += TSimd.Count)
        {
            TSimd.Store(TSimd.Multiply(TSimd.Load(y + i), multiplier), y + i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TSimd Block(byte* unit, int units, int unitBytes, sbyte* x, TSimd map)
    {
        TSimd a = TSimd.Zero;
        TSimd b = TSimd.Zero;
        for (int i = 0; i < units; i++)
        {
            a = Dot(unit, 0, x, map, a);
            b = Dot(unit, 1, x, map, b);
            a = Dot(unit, 2, x, map, a);
            b = Dot(unit, 3, x, map, b);
            if (TCodes.UnitColumns == 32)
            {
                a = Dot(unit, 4, x, map, a);
                b = Dot(unit, 5, x, map, b);
                a = Dot(unit, 6, x, map, a);
                b = Dot(unit, 7, x, map, b);
            }

            unit += unitBytes;
            x += TCodes.UnitColumns;
        }

        return TSimd.AddIntegers(a, b);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TSimd Dot(byte* unit, int group, sbyte* x, TSimd map, TSimd sum) =>
        TSimd.Dot(sum, TMap.Map(TCodes.Group<TSimd>(unit, group), map), TSimd.Broadcast(x + (4 * group)));

    /// <summary>The bytes that are multiplied, of whole units: 64 bytes per group.</summary>
    private static void Unpack(byte* units, in TileWeight weight, int count, byte* panel)
    {
        TSimd map = weight.ByteTable == null ? TSimd.Zero : TSimd.RepeatBytes(weight.ByteTable);
        int unitBytes = weight.Layout.UnitBytes;
        for (int i = 0; i < count; i++)
        {
            for (int row = 0; row < TileLayout.TileRows; row += TSimd.Count)
            {
                byte* unit = units + ((long)i * unitBytes) + (4 * row);
                byte* to = panel + ((long)i * TCodes.UnitColumns * TileLayout.TileRows) + (4 * row);
                TSimd.Store(TMap.Map(TCodes.Group<TSimd>(unit, 0), map), to);
                TSimd.Store(TMap.Map(TCodes.Group<TSimd>(unit, 1), map), to + TilePlanes.VectorBytes);
                TSimd.Store(TMap.Map(TCodes.Group<TSimd>(unit, 2), map), to + (2 * TilePlanes.VectorBytes));
                TSimd.Store(TMap.Map(TCodes.Group<TSimd>(unit, 3), map), to + (3 * TilePlanes.VectorBytes));
                if (TCodes.UnitColumns == 32)
                {
                    TSimd.Store(TMap.Map(TCodes.Group<TSimd>(unit, 4), map), to + (4 * TilePlanes.VectorBytes));
                    TSimd.Store(TMap.Map(TCodes.Group<TSimd>(unit, 5), map), to + (5 * TilePlanes.VectorBytes));
                    TSimd.Store(TMap.Map(TCodes.Group<TSimd>(unit, 6), map), to + (6 * TilePlanes.VectorBytes));
                    TSimd.Store(TMap.Map(TCodes.Group<TSimd>(unit, 7), map), to + (7 * TilePlanes.VectorBytes));
                }
            }
        }
    }

    /// <summary>Integer sums of four rows of activations over part of a block.</summary>
    private static void Multiply(byte* panel, sbyte* x, int stride, int groups, int* sums, bool opens)
    {
        TSimd a = opens ? TSimd.Zero : TSimd.Load(sums);
        TSimd b = opens ? TSimd.Zero : TSimd.Load(sums + TileLayout.TileRows);
        TSimd c = opens ? TSimd.Zero : TSimd.Load(sums + (2 * TileLayout.TileRows));
        TSimd d = opens ? TSimd.Zero : TSimd.Load(sums + (3 * TileLayout.TileRows));
        sbyte* x1 = x + stride;
        sbyte* x2 = x1 + stride;
        sbyte* x3 = x2 + stride;
        for (int i = 0; i < groups; i++)
        {
            TSimd codes = TSimd.Load(panel + ((long)TilePlanes.VectorBytes * i));
            a = TSimd.Dot(a, codes, TSimd.Broadcast(x + (4 * i)));
            b = TSimd.Dot(b, codes, TSimd.Broadcast(x1 + (4 * i)));
            c = TSimd.Dot(c, codes, TSimd.Broadcast(x2 + (4 * i)));
            d = TSimd.Dot(d, codes, TSimd.Broadcast(x3 + (4 * i)));
        }

        TSimd.Store(a, sums);
        TSimd.Store(b, sums + TileLayout.TileRows);
        TSimd.Store(c, sums + (2 * TileLayout.TileRows));
        TSimd.Store(d, sums + (3 * TileLayout.TileRows));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scale(byte* tile, in TileWeight weight, in ActivationCodes x, int block, int first, int row, int* partial, float* y)
    {
        TileLayout layout = weight.Layout;
        TSimd scale = TileScales.Load<TSimd>(tile, layout.Scale, (TileLayout.TileRows * block) + first);
        TSimd zero = layout.HasZeros ? TSimd.WidenBytes(tile + layout.ZerosOffset + (TileLayout.TileRows * (long)block) + first) : TSimd.Create(weight.ByteZero);
        for (int i = row; i < row + Batch; i++)
        {
            long at = ((long)i * layout.Blocks) + block;
            int place = (TileLayout.TileRows * i) + first;
            TSimd offset = layout.HasZeros ? TSimd.MultiplyIntegers(zero, TSimd.Create(x.Sums[at])) : TSimd.Create(weight.ByteZero * x.Sums[at]);
            TSimd sum = TSimd.ToSingle(TSimd.SubtractIntegers(TSimd.Load(partial + place), offset));
            TSimd.Store(TSimd.MultiplyAdd(sum, TSimd.Multiply(scale, TSimd.Create(x.Scales[at])), TSimd.Load(y + place)), y + place);
        }
    }
}
