using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// One tile times several rows of activations that were rounded to 8 bits, as <see cref="IntegerMatVec{TSimd, TCodes, TMap, TDot}"/> does it for one: the codes of a block are unpacked once into a cache and multiplied with all rows,
/// four rows at a time.
/// </summary>
internal static unsafe class IntegerMatMul<TSimd, TCodes, TMap, TDot>
    where TSimd : struct, ISimd<TSimd>
    where TCodes : struct, ICodes
    where TMap : struct, IByteMap
    where TDot : struct, IDot
{
    /// <summary>Rows of activations multiplied together.</summary>
    private const int Batch = 4;

    /// <summary>Bytes of a group in the panel: of words, the even and the odd codes apart.</summary>
    private static int GroupBytes => TDot.ActivationBytes * TilePlanes.VectorBytes;

    /// <param name="tile">The tile.</param>
    /// <param name="weight">What codes mean.</param>
    /// <param name="x">The activations; their number of rows is filled up to a multiple of four.</param>
    /// <param name="panel">32 bytes of scratch for every column of a block.</param>
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
                    byte* codes = x.Codes + ((((long)row * weight.PaddedColumns) + ((long)unit * TCodes.UnitColumns)) * x.CodeBytes);
                    long at = ((long)row * weight.Blocks) + block;
                    float* to = y + (TileLayout.TileRows * row);
                    Rows(panel, codes, (long)weight.PaddedColumns * x.CodeBytes, units * TCodes.UnitColumns / 4, scales, zeros, weight.ZeroStride, x.Scales + at, x.Sums + at, weight.Blocks, to);
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

    /// <summary>What is multiplied, of whole units.</summary>
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
            panel += TCodes.UnitColumns / 4 * GroupBytes;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Unpack(byte* unit, byte* to, TSimd map)
    {
        Unpack(unit, 0, to, map);
        Unpack(unit, 1, to, map);
        Unpack(unit, 2, to, map);
        Unpack(unit, 3, to, map);
        if (TCodes.UnitColumns == 32)
        {
            Unpack(unit, 4, to, map);
            Unpack(unit, 5, to, map);
            Unpack(unit, 6, to, map);
            Unpack(unit, 7, to, map);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Unpack(byte* unit, int group, byte* to, TSimd map)
    {
        TSimd codes = TMap.Get<TSimd, TCodes>(unit, group, map);
        to += group * GroupBytes;
        if (TDot.ActivationBytes == 2)
        {
            TSimd.Store(TSimd.ShiftRightWords(codes, 8), to + TilePlanes.VectorBytes);
            codes = TSimd.And(codes, TSimd.Create(0x00FF00FF));
        }

        TSimd.Store(codes, to);
    }

    /// <summary>A block of four rows of activations by all rows of the tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Rows(byte* panel, byte* x, long xStride, int groups, float* scales, int* zeros, int zeroStride, float* factors, int* sums, int stride, float* y)
    {
        int step = TDot.IsInstruction ? 2 * TSimd.Count : TSimd.Count;
        for (int first = 0; first < TileLayout.TileRows; first += step)
        {
            if (TDot.IsInstruction)
            {
                TwoVectors(panel + (4 * first), x, xStride, groups, scales + first, zeros + first, zeroStride, factors, sums, stride, y + first);
            }
            else if (TDot.ActivationBytes == 2)
            {
                Words(panel + (4 * first), x, xStride, groups, scales + first, zeros + first, zeroStride, factors, sums, stride, y + first);
            }
            else
            {
                Bytes(panel + (4 * first), x, xStride, groups / 4, scales + first, zeros + first, zeroStride, factors, sums, stride, y + first);
            }
        }
    }

    /// <summary>By two vectors: the instruction of four products takes several cycles, eight sums keep it busy.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void TwoVectors(byte* panel, byte* x, long xStride, int groups, float* scales, int* zeros, int zeroStride, float* factors, int* sums, int stride, float* y)
    {
        TSimd a0 = IntegerMatVec<TSimd, TCodes, TMap, TDot>.Start(zeros, zeroStride, sums);
        TSimd a1 = IntegerMatVec<TSimd, TCodes, TMap, TDot>.Start(zeros + TSimd.Count, zeroStride, sums);
        TSimd b0 = IntegerMatVec<TSimd, TCodes, TMap, TDot>.Start(zeros, zeroStride, sums + stride);
        TSimd b1 = IntegerMatVec<TSimd, TCodes, TMap, TDot>.Start(zeros + TSimd.Count, zeroStride, sums + stride);
        TSimd c0 = IntegerMatVec<TSimd, TCodes, TMap, TDot>.Start(zeros, zeroStride, sums + (2 * stride));
        TSimd c1 = IntegerMatVec<TSimd, TCodes, TMap, TDot>.Start(zeros + TSimd.Count, zeroStride, sums + (2 * stride));
        TSimd d0 = IntegerMatVec<TSimd, TCodes, TMap, TDot>.Start(zeros, zeroStride, sums + (3 * stride));
        TSimd d1 = IntegerMatVec<TSimd, TCodes, TMap, TDot>.Start(zeros + TSimd.Count, zeroStride, sums + (3 * stride));
        byte* x1 = x + xStride;
        byte* x2 = x1 + xStride;
        byte* x3 = x2 + xStride;
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

        Store(y, a0, b0, c0, d0, scales, factors, stride);
        Store(y + TSimd.Count, a1, b1, c1, d1, scales + TSimd.Count, factors, stride);
    }

    /// <summary>By one vector, <paramref name="quads"/> times four groups.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void Bytes(byte* panel, byte* x, long xStride, int quads, float* scales, int* zeros, int zeroStride, float* factors, int* sums, int stride, float* y)
    {
        TSimd a = IntegerMatVec<TSimd, TCodes, TMap, TDot>.Start(zeros, zeroStride, sums);
        TSimd b = IntegerMatVec<TSimd, TCodes, TMap, TDot>.Start(zeros, zeroStride, sums + stride);
        TSimd c = IntegerMatVec<TSimd, TCodes, TMap, TDot>.Start(zeros, zeroStride, sums + (2 * stride));
        TSimd d = IntegerMatVec<TSimd, TCodes, TMap, TDot>.Start(zeros, zeroStride, sums + (3 * stride));
        byte* x2 = x + (2 * xStride);
        for (int i = 0; i < quads; i++)
        {
            TSimd codes0 = TSimd.Load(panel);
            TSimd codes1 = TSimd.Load(panel + TilePlanes.VectorBytes);
            TSimd codes2 = TSimd.Load(panel + (2 * TilePlanes.VectorBytes));
            TSimd codes3 = TSimd.Load(panel + (3 * TilePlanes.VectorBytes));
            TDot.Add(codes0, codes1, codes2, codes3, x, ref a, ref a, ref a, ref a);
            TDot.Add(codes0, codes1, codes2, codes3, x + xStride, ref b, ref b, ref b, ref b);
            TDot.Add(codes0, codes1, codes2, codes3, x2, ref c, ref c, ref c, ref c);
            TDot.Add(codes0, codes1, codes2, codes3, x2 + xStride, ref d, ref d, ref d, ref d);
            panel += 4 * TilePlanes.VectorBytes;
            x += 16;
            x2 += 16;
        }

        Store(y, a, b, c, d, scales, factors, stride);
    }

    /// <summary>By one vector of words.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void Words(byte* panel, byte* x, long xStride, int groups, float* scales, int* zeros, int zeroStride, float* factors, int* sums, int stride, float* y)
    {
        TSimd a = IntegerMatVec<TSimd, TCodes, TMap, TDot>.Start(zeros, zeroStride, sums);
        TSimd b = IntegerMatVec<TSimd, TCodes, TMap, TDot>.Start(zeros, zeroStride, sums + stride);
        TSimd c = IntegerMatVec<TSimd, TCodes, TMap, TDot>.Start(zeros, zeroStride, sums + (2 * stride));
        TSimd d = IntegerMatVec<TSimd, TCodes, TMap, TDot>.Start(zeros, zeroStride, sums + (3 * stride));
        byte* x2 = x + (2 * xStride);
        for (int i = 0; i < groups; i++)
        {
            TSimd even = TSimd.Load(panel);
            TSimd odd = TSimd.Load(panel + TilePlanes.VectorBytes);
            a = TSimd.DotWords(TSimd.DotWords(a, even, TSimd.Broadcast(x)), odd, TSimd.Broadcast(x + 4));
            b = TSimd.DotWords(TSimd.DotWords(b, even, TSimd.Broadcast(x + xStride)), odd, TSimd.Broadcast(x + xStride + 4));
            c = TSimd.DotWords(TSimd.DotWords(c, even, TSimd.Broadcast(x2)), odd, TSimd.Broadcast(x2 + 4));
            d = TSimd.DotWords(TSimd.DotWords(d, even, TSimd.Broadcast(x2 + xStride)), odd, TSimd.Broadcast(x2 + xStride + 4));
            panel += 2 * TilePlanes.VectorBytes;
            x += 8;
            x2 += 8;
        }

        Store(y, a, b, c, d, scales, factors, stride);
    }

    /// <summary>Adds dot x scale x factor of four rows to their sums.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(float* y, TSimd a, TSimd b, TSimd c, TSimd d, float* scales, float* factors, int stride)
    {
        TSimd scale = TSimd.Load(scales);
        Add(y, a, scale, factors);
        Add(y + TileLayout.TileRows, b, scale, factors + stride);
        Add(y + (2 * TileLayout.TileRows), c, scale, factors + (2 * stride));
        Add(y + (3 * TileLayout.TileRows), d, scale, factors + (3 * stride));
    }

    /// <summary>y + dot x scale x factor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(float* y, TSimd dot, TSimd scale, float* factor) =>
        TSimd.Store(TSimd.MultiplyAdd(TSimd.ToSingle(dot), TSimd.Multiply(scale, TSimd.Broadcast(factor)), TSimd.Load(y)), y);
}
