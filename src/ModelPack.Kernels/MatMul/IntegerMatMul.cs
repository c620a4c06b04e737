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
        sbyte* codes = x.Codes + ((long)row * weight.PaddedColumns);
        float* factors = x.Scales + ((long)row * weight.Blocks);
        int* sums = x.Sums + ((long)row * weight.Blocks);
        float* scratch = stackalloc float[TileScales.Scratch];
        new Span<float>(y, TileLayout.TileRows).Clear();
        int left = weight.Units;
        byte* unit = tile + weight.CodesOffset;
        for (int block = 0; block < weight.Blocks; block += TileScales.Blocks)
        {
            int blocks = Math.Min(TileScales.Blocks, weight.Blocks - block);
            float* scales = TileScales.Scales<TSimd>(tile, weight.Scale, block, blocks, scratch);
            int* zeros = TileScales.IntegerZeros<TSimd>(tile, weight, block, blocks, scratch);

            // The last block of a row may be short.
            int whole = Math.Min(blocks, left / weight.BlockUnits);
            for (int first = 0; first < TileLayout.TileRows; first += TSimd.Count)
            {
                Blocks(unit + (4 * first), whole, weight.BlockUnits, codes, weight.ByteTable, scales + first, zeros + first, weight.ZeroStride, factors + block, sums + block, y + first);
            }

            int done = whole * weight.BlockUnits;
            left -= done;
            unit += (long)done * weight.UnitBytes;
            codes += done * TCodes.UnitColumns;
            if (whole < blocks)
            {
                for (int first = 0; first < TileLayout.TileRows; first += TSimd.Count)
                {
                    Blocks(
                        unit + (4 * first), 1, left, codes, weight.ByteTable, scales + (TileLayout.TileRows * whole) + first, zeros + (weight.ZeroStride * whole) + first, 0, factors + block + whole, sums + block + whole, y + first);
                }
            }
        }

        for (int first = 0; first < TileLayout.TileRows; first += TSimd.Count)
        {
            TSimd.Store(TSimd.Multiply(TSimd.Load(y + first), TSimd.Create(weight.ByteMultiplier)), y + first);
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
        int step = PanelColumns / TCodes.UnitColumns;
        int rows = x.PaddedRows;
        float* scratch = stackalloc float[TileScales.Scratch];
        new Span<float>(y, rows * TileLayout.TileRows).Clear();
        int unit = 0;
        for (int block = 0; block < weight.Blocks; block++)
        {
            float* scales = TileScales.Scales<TSimd>(tile, weight.Scale, block, 1, scratch);
            int* zeros = TileScales.IntegerZeros<TSimd>(tile, weight, block, 1, scratch);
            int end = Math.Min(weight.Units, unit + weight.BlockUnits);
            for (int part = unit; part < end; part += step)
            {
                int units = Math.Min(step, end - part);
                Unpack(tile + weight.CodesOffset + ((long)part * weight.UnitBytes), weight.ByteTable, units, panel);
                bool opens = part == unit;
                bool closes = part + units == end;
                for (int first = 0; first < TileLayout.TileRows; first += TSimd.Count)
                {
                    for (int row = 0; row < rows; row += Batch)
                    {
                        sbyte* codes = x.Codes + ((long)row * weight.PaddedColumns) + ((long)part * TCodes.UnitColumns);
                        Multiply(panel + (4 * first), codes, weight.PaddedColumns, units * TCodes.UnitColumns / 4, partial + (TileLayout.TileRows * row) + first, opens);
                        if (closes)
                        {
                            long at = ((long)row * weight.Blocks) + block;
                            Scale(scales + first, zeros + first, x.Scales + at, x.Sums + at, weight.Blocks, partial + (TileLayout.TileRows * row) + first, y + (TileLayout.TileRows * row) + first);
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

    /// <summary>Adds blocks of the same length to the sums of as many rows as there are lanes.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Blocks(byte* unit, int blocks, int units, sbyte* x, byte* table, float* scales, int* zeros, int zeroStride, float* factors, int* sums, float* y)
    {
        TSimd map = table == null ? TSimd.Zero : TSimd.RepeatBytes(table);
        TSimd total = TSimd.Load(y);
        for (int block = 0; block < blocks; block++)
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

                unit += TileLayout.TileRows * TCodes.UnitColumns * TCodes.Bits / 8;
                x += TCodes.UnitColumns;
            }

            TSimd offset = TSimd.MultiplyIntegers(TSimd.Load(zeros), TSimd.Broadcast(sums + block));
            TSimd sum = TSimd.ToSingle(TSimd.SubtractIntegers(TSimd.AddIntegers(a, b), offset));
            total = TSimd.MultiplyAdd(sum, TSimd.Multiply(TSimd.Load(scales), TSimd.Broadcast(factors + block)), total);
            scales += TileLayout.TileRows;
            zeros += zeroStride;
        }

        TSimd.Store(total, y);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TSimd Dot(byte* unit, int group, sbyte* x, TSimd map, TSimd sum) =>
        TSimd.Dot(sum, TMap.Map(TCodes.Group<TSimd>(unit, group), map), TSimd.Broadcast(x + (4 * group)));

    /// <summary>The bytes that are multiplied, of whole units: 64 bytes per group.</summary>
    private static void Unpack(byte* units, byte* table, int count, byte* panel)
    {
        TSimd map = table == null ? TSimd.Zero : TSimd.RepeatBytes(table);
        for (int i = 0; i < count; i++)
        {
            for (int row = 0; row < TileLayout.TileRows; row += TSimd.Count)
            {
                Unpack(units + (4 * row), panel + (4 * row), map);
            }

            units += TileLayout.TileRows * TCodes.UnitColumns * TCodes.Bits / 8;
            panel += TCodes.UnitColumns * TileLayout.TileRows;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Unpack(byte* unit, byte* to, TSimd map)
    {
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

    /// <summary>Integer sums of four rows of activations over part of a block.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
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

    /// <summary>Sums of a block of four rows, less zero points, times scales, added to the sums of the rows.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Scale(float* scales, int* zeros, float* factors, int* sums, int stride, int* partial, float* y)
    {
        TSimd scale = TSimd.Load(scales);
        TSimd zero = TSimd.Load(zeros);
        for (int i = 0; i < Batch; i++)
        {
            TSimd sum = TSimd.ToSingle(TSimd.SubtractIntegers(TSimd.Load(partial), TSimd.MultiplyIntegers(zero, TSimd.Broadcast(sums))));
            TSimd.Store(TSimd.MultiplyAdd(sum, TSimd.Multiply(scale, TSimd.Broadcast(factors)), TSimd.Load(y)), y);
            partial += TileLayout.TileRows;
            y += TileLayout.TileRows;
            sums += stride;
            factors += stride;
        }
    }
}
