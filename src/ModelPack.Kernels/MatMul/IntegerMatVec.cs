using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// One tile times one row of activations that were rounded to 8 bits: integer sums of every block are exact in 32 bits, then multiplied with the scales of weight and activations in f32. Lane = row of the weight; four
/// columns per lane and step.
/// </summary>
internal static unsafe class IntegerMatVec<TSimd, TCodes, TMap, TDot>
    where TSimd : struct, ISimd<TSimd>
    where TCodes : struct, ICodes
    where TMap : struct, IByteMap
    where TDot : struct, IDot
{
    /// <param name="tile">The tile.</param>
    /// <param name="weight">What codes mean.</param>
    /// <param name="x">The activations; the first row is multiplied.</param>
    /// <param name="y">[16] sums.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(byte* tile, in TileWeight weight, in ActivationCodes x, float* y)
    {
        byte* codes = x.Codes;
        float* factors = x.Scales;
        int* sums = x.Sums;
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
            Blocks(unit, whole, weight.BlockUnits, codes, weight, scales, zeros, factors + block, sums + block, y);
            int done = whole * weight.BlockUnits;
            left -= done;
            unit += (long)done * weight.UnitBytes;
            codes += done * TCodes.UnitColumns * TDot.ActivationBytes;
            if (whole < blocks)
            {
                Blocks(unit, 1, left, codes, weight, scales + (TileLayout.TileRows * whole), zeros + (weight.ZeroStride * whole), factors + block + whole, sums + block + whole, y);
            }
        }

        for (int first = 0; first < TileLayout.TileRows; first += TSimd.Count)
        {
            TSimd.Store(TSimd.Multiply(TSimd.Load(y + first), TSimd.Create(weight.ByteMultiplier)), y + first);
        }
    }

    /// <summary>Adds blocks of the same length to the sums of all rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Blocks(byte* unit, int blocks, int units, byte* x, in TileWeight weight, float* scales, int* zeros, float* factors, int* sums, float* y)
    {
        if (TSimd.Count == TileLayout.TileRows)
        {
            OneVector(unit, blocks, units, x, weight.ByteTable, scales, zeros, weight.ZeroStride, factors, sums, y);
            return;
        }

        for (int first = 0; first < TileLayout.TileRows; first += 2 * TSimd.Count)
        {
            TwoVectors(unit + (4 * first), blocks, units, x, weight.ByteTable, scales + first, zeros + first, weight.ZeroStride, factors, sums, y + first);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void OneVector(byte* unit, int blocks, int units, byte* x, byte* table, float* scales, int* zeros, int zeroStride, float* factors, int* sums, float* y)
    {
        TSimd map = table == null ? TSimd.Zero : TSimd.RepeatBytes(table);
        TSimd total = TSimd.Load(y);
        for (int block = 0; block < blocks; block++)
        {
            TSimd a = Start(zeros, zeroStride, sums + block);
            TSimd b = TSimd.Zero;
            TSimd c = TSimd.Zero;
            TSimd d = TSimd.Zero;
            for (int i = 0; i < units; i++)
            {
                Prefetching.Ahead(unit, TileLayout.TileRows * TCodes.UnitColumns * TCodes.Bits / 8);
                Add(unit, 0, x, map, ref a, ref b, ref c, ref d);
                if (TCodes.UnitColumns == 32)
                {
                    Add(unit, 4, x + (16 * TDot.ActivationBytes), map, ref a, ref b, ref c, ref d);
                }

                unit += TileLayout.TileRows * TCodes.UnitColumns * TCodes.Bits / 8;
                x += TCodes.UnitColumns * TDot.ActivationBytes;
            }

            total = Add(total, TDot.Join(a, b, c, d), scales, TSimd.Broadcast(factors + block));
            scales += TileLayout.TileRows;
            zeros += zeroStride;
        }

        TSimd.Store(total, y);
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void TwoVectors(byte* unit, int blocks, int units, byte* x, byte* table, float* scales, int* zeros, int zeroStride, float* factors, int* sums, float* y)
    {
        TSimd map = table == null ? TSimd.Zero : TSimd.RepeatBytes(table);
        TSimd total0 = TSimd.Load(y);
        TSimd total1 = TSimd.Load(y + TSimd.Count);
        for (int block = 0; block < blocks; block++)
        {
            TSimd a0 = Start(zeros, zeroStride, sums + block);
            TSimd a1 = Start(zeros + TSimd.Count, zeroStride, sums + block);
            TSimd b0 = TSimd.Zero;
            TSimd b1 = TSimd.Zero;
            TSimd c0 = TSimd.Zero;
            TSimd c1 = TSimd.Zero;
            TSimd d0 = TSimd.Zero;
            TSimd d1 = TSimd.Zero;
            for (int i = 0; i < units; i++)
            {
                Prefetching.Ahead(unit, TileLayout.TileRows * TCodes.UnitColumns * TCodes.Bits / 8);
                Add(unit, 0, x, map, ref a0, ref b0, ref c0, ref d0);
                Add(unit + (4 * TSimd.Count), 0, x, map, ref a1, ref b1, ref c1, ref d1);
                if (TCodes.UnitColumns == 32)
                {
                    Add(unit, 4, x + (16 * TDot.ActivationBytes), map, ref a0, ref b0, ref c0, ref d0);
                    Add(unit + (4 * TSimd.Count), 4, x + (16 * TDot.ActivationBytes), map, ref a1, ref b1, ref c1, ref d1);
                }

                unit += TileLayout.TileRows * TCodes.UnitColumns * TCodes.Bits / 8;
                x += TCodes.UnitColumns * TDot.ActivationBytes;
            }

            TSimd factor = TSimd.Broadcast(factors + block);
            total0 = Add(total0, TDot.Join(a0, b0, c0, d0), scales, factor);
            total1 = Add(total1, TDot.Join(a1, b1, c1, d1), scales + TSimd.Count, factor);
            scales += TileLayout.TileRows;
            zeros += zeroStride;
        }

        TSimd.Store(total0, y);
        TSimd.Store(total1, y + TSimd.Count);
    }

    /// <summary>The products of four groups from <paramref name="group"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(byte* unit, int group, byte* x, TSimd map, ref TSimd a, ref TSimd b, ref TSimd c, ref TSimd d) => TDot.Add(
        TMap.Get<TSimd, TCodes>(unit, group, map),
        TMap.Get<TSimd, TCodes>(unit, group + 1, map),
        TMap.Get<TSimd, TCodes>(unit, group + 2, map),
        TMap.Get<TSimd, TCodes>(unit, group + 3, map),
        x,
        ref a,
        ref b,
        ref c,
        ref d);

    /// <summary>Minus zero point times sum of the activations, see <see cref="ActivationCodes.Sums"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static TSimd Start(int* zeros, int zeroStride, int* sum) =>
        zeroStride == 0 ? TSimd.Broadcast(sum) : TSimd.MultiplyIntegers(TSimd.Load(zeros), TSimd.Broadcast(sum));

    /// <summary>total + dot x scale x factor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TSimd Add(TSimd total, TSimd dot, float* scales, TSimd factor) =>
        TSimd.MultiplyAdd(TSimd.ToSingle(dot), TSimd.Multiply(TSimd.Load(scales), factor), total);
}
