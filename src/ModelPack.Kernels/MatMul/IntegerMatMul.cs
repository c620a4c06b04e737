using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// One tile times several rows of activations that were rounded to 8 bits, as <see cref="IntegerMatVec{TSimd, TCodes, TMap}"/> does it for one: the codes of a block are unpacked once into a cache and multiplied with all rows,
/// four rows by two vectors at a time.
/// </summary>
internal static unsafe class IntegerMatMul<TSimd, TCodes, TMap>
    where TSimd : struct, ISimd<TSimd>
    where TCodes : struct, ICodes
    where TMap : struct, IByteMap
{
    /// <summary>Rows of activations multiplied together.</summary>
    private const int Batch = 4;

    /// <param name="tile">The tile.</param>
    /// <param name="weight">What codes mean.</param>
    /// <param name="x">The activations; their number of rows is filled up to a multiple of four.</param>
    /// <param name="panel">16 bytes of scratch for every column of a block.</param>
    /// <param name="y">[rows, 16] sums.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(byte* tile, in TileWeight weight, in ActivationCodes x, byte* panel, float* y)
    {
        int rows = x.PaddedRows;
        float* scratch = stackalloc float[TileScales.Scratch];
        new Span<float>(y, rows * TileLayout.TileRows).Clear();
        for (int open = 0; open < weight.Blocks; open += TileScales.Blocks)
        {
            int blocks = Math.Min(TileScales.Blocks, weight.Blocks - open);
            float* scales = TileScales.Scales<TSimd>(tile, weight.Scale, open, blocks, scratch);
            int* zeros = TileScales.IntegerZeros<TSimd>(tile, weight, open, blocks, scratch);
            for (int block = open; block < open + blocks; block++)
            {
                int unit = block * weight.BlockUnits;
                int units = Math.Min(weight.BlockUnits, weight.Units - unit);
                Unpack(tile + weight.CodesOffset + ((long)unit * weight.UnitBytes), weight.ByteTable, units, panel);
                for (int row = 0; row < rows; row += Batch)
                {
                    sbyte* codes = x.Codes + ((long)row * weight.PaddedColumns) + ((long)unit * TCodes.UnitColumns);
                    long at = ((long)row * weight.Blocks) + block;
                    for (int first = 0; first < TileLayout.TileRows; first += 2 * TSimd.Count)
                    {
                        FourByTwo(
                            panel + (4 * first), codes, weight.PaddedColumns, units * TCodes.UnitColumns / 4, scales + first, zeros + first, weight.ZeroStride, x.Scales + at, x.Sums + at, weight.Blocks, y + (TileLayout.TileRows * row) + first);
                    }
                }

                scales += TileLayout.TileRows;
                zeros += weight.ZeroStride;
            }
        }

        TSimd multiplier = TSimd.Create(weight.ByteMultiplier);
        for (int i = 0; i < rows * TileLayout.TileRows; i += TSimd.Count)
        {
            TSimd.Store(TSimd.Multiply(TSimd.Load(y + i), multiplier), y + i);
        }
    }

    /// <summary>The bytes that are multiplied, of whole units: 64 bytes per group.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
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

    /// <summary>A block of four rows of activations by two vectors of rows of the weight.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void FourByTwo(byte* panel, sbyte* x, int xStride, int groups, float* scales, int* zeros, int zeroStride, float* factors, int* sums, int stride, float* y)
    {
        TSimd a0 = IntegerMatVec<TSimd, TCodes, TMap>.Start(zeros, zeroStride, sums);
        TSimd a1 = IntegerMatVec<TSimd, TCodes, TMap>.Start(zeros + TSimd.Count, zeroStride, sums);
        TSimd b0 = IntegerMatVec<TSimd, TCodes, TMap>.Start(zeros, zeroStride, sums + stride);
        TSimd b1 = IntegerMatVec<TSimd, TCodes, TMap>.Start(zeros + TSimd.Count, zeroStride, sums + stride);
        TSimd c0 = IntegerMatVec<TSimd, TCodes, TMap>.Start(zeros, zeroStride, sums + (2 * stride));
        TSimd c1 = IntegerMatVec<TSimd, TCodes, TMap>.Start(zeros + TSimd.Count, zeroStride, sums + (2 * stride));
        TSimd d0 = IntegerMatVec<TSimd, TCodes, TMap>.Start(zeros, zeroStride, sums + (3 * stride));
        TSimd d1 = IntegerMatVec<TSimd, TCodes, TMap>.Start(zeros + TSimd.Count, zeroStride, sums + (3 * stride));
        sbyte* x1 = x + xStride;
        sbyte* x2 = x1 + xStride;
        sbyte* x3 = x2 + xStride;
        for (int i = 0; i < groups; i++)
        {
            TSimd codes0 = TSimd.Load(panel);
            TSimd codes1 = TSimd.Load(panel + (4 * TSimd.Count));
            TSimd activations = TSimd.Broadcast(x + (4 * i));
            a0 = TSimd.Dot(a0, codes0, activations);
            a1 = TSimd.Dot(a1, codes1, activations);
            activations = TSimd.Broadcast(x1 + (4 * i));
            b0 = TSimd.Dot(b0, codes0, activations);
            b1 = TSimd.Dot(b1, codes1, activations);
            activations = TSimd.Broadcast(x2 + (4 * i));
            c0 = TSimd.Dot(c0, codes0, activations);
            c1 = TSimd.Dot(c1, codes1, activations);
            activations = TSimd.Broadcast(x3 + (4 * i));
            d0 = TSimd.Dot(d0, codes0, activations);
            d1 = TSimd.Dot(d1, codes1, activations);
            panel += TilePlanes.VectorBytes;
        }

        Add(y, a0, a1, scales, factors);
        Add(y + TileLayout.TileRows, b0, b1, scales, factors + stride);
        Add(y + (2 * TileLayout.TileRows), c0, c1, scales, factors + (2 * stride));
        Add(y + (3 * TileLayout.TileRows), d0, d1, scales, factors + (3 * stride));
    }

    /// <summary>y + dot x scale x factor for two vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(float* y, TSimd dot0, TSimd dot1, float* scales, float* factors)
    {
        TSimd factor = TSimd.Broadcast(factors);
        TSimd.Store(TSimd.MultiplyAdd(TSimd.ToSingle(dot0), TSimd.Multiply(TSimd.Load(scales), factor), TSimd.Load(y)), y);
        TSimd.Store(TSimd.MultiplyAdd(TSimd.ToSingle(dot1), TSimd.Multiply(TSimd.Load(scales + TSimd.Count), factor), TSimd.Load(y + TSimd.Count)), y + TSimd.Count);
    }
}
