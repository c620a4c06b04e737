using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// One tile times one row of activations that were rounded to 8 bits: integer sums of every block are exact in 32 bits, then multiplied with the scales of weight and activations in f32. Lane = row of the weight, four
/// columns per instruction, eight accumulators for two vectors of rows.
/// </summary>
internal static unsafe class IntegerMatVec<TSimd, TCodes, TMap>
    where TSimd : struct, ISimd<TSimd>
    where TCodes : struct, ICodes
    where TMap : struct, IByteMap
{
    /// <param name="tile">The tile.</param>
    /// <param name="weight">What codes mean.</param>
    /// <param name="x">The activations; the first row is multiplied.</param>
    /// <param name="y">[16] sums.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(byte* tile, in TileWeight weight, in ActivationCodes x, float* y)
    {
        sbyte* codes = x.Codes;
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
            for (int first = 0; first < TileLayout.TileRows; first += 2 * TSimd.Count)
            {
                Blocks(unit + (4 * first), whole, weight.BlockUnits, codes, weight.ByteTable, scales + first, zeros + first, weight.ZeroStride, factors + block, sums + block, y + first);
            }

            int done = whole * weight.BlockUnits;
            left -= done;
            unit += (long)done * weight.UnitBytes;
            codes += done * TCodes.UnitColumns;
            if (whole < blocks)
            {
                for (int first = 0; first < TileLayout.TileRows; first += 2 * TSimd.Count)
                {
                    Blocks(
                        unit + (4 * first), 1, left, codes, weight.ByteTable, scales + (TileLayout.TileRows * whole) + first, zeros + (weight.ZeroStride * whole) + first, weight.ZeroStride, factors + block + whole, sums + block + whole, y + first);
                }
            }
        }

        for (int first = 0; first < TileLayout.TileRows; first += TSimd.Count)
        {
            TSimd.Store(TSimd.Multiply(TSimd.Load(y + first), TSimd.Create(weight.ByteMultiplier)), y + first);
        }
    }

    /// <summary>Adds blocks of the same length to the sums of two vectors of rows.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void Blocks(byte* unit, int blocks, int units, sbyte* x, byte* table, float* scales, int* zeros, int zeroStride, float* factors, int* sums, float* y)
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
                Dot(unit, 0, x, map, ref a0, ref a1);
                Dot(unit, 1, x, map, ref b0, ref b1);
                Dot(unit, 2, x, map, ref c0, ref c1);
                Dot(unit, 3, x, map, ref d0, ref d1);
                if (TCodes.UnitColumns == 32)
                {
                    Dot(unit, 4, x, map, ref a0, ref a1);
                    Dot(unit, 5, x, map, ref b0, ref b1);
                    Dot(unit, 6, x, map, ref c0, ref c1);
                    Dot(unit, 7, x, map, ref d0, ref d1);
                }

                unit += TileLayout.TileRows * TCodes.UnitColumns * TCodes.Bits / 8;
                x += TCodes.UnitColumns;
            }

            TSimd factor = TSimd.Broadcast(factors + block);
            total0 = Add(total0, TSimd.AddIntegers(TSimd.AddIntegers(a0, b0), TSimd.AddIntegers(c0, d0)), scales, factor);
            total1 = Add(total1, TSimd.AddIntegers(TSimd.AddIntegers(a1, b1), TSimd.AddIntegers(c1, d1)), scales + TSimd.Count, factor);
            scales += TileLayout.TileRows;
            zeros += zeroStride;
        }

        TSimd.Store(total0, y);
        TSimd.Store(total1, y + TSimd.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Dot(byte* unit, int group, sbyte* x, TSimd map, ref TSimd first, ref TSimd second)
    {
        TSimd activations = TSimd.Broadcast(x + (4 * group));
        first = TSimd.Dot(first, TMap.Map(TCodes.Group<TSimd>(unit, group), map), activations);
        second = TSimd.Dot(second, TMap.Map(TCodes.Group<TSimd>(unit + (4 * TSimd.Count), group), map), activations);
    }

    /// <summary>Minus zero point times sum of the activations, see <see cref="ActivationCodes.Sums"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static TSimd Start(int* zeros, int zeroStride, int* sum) =>
        zeroStride == 0 ? TSimd.Broadcast(sum) : TSimd.MultiplyIntegers(TSimd.Load(zeros), TSimd.Broadcast(sum));

    /// <summary>total + dot x scale x factor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TSimd Add(TSimd total, TSimd dot, float* scales, TSimd factor) =>
        TSimd.MultiplyAdd(TSimd.ToSingle(dot), TSimd.Multiply(TSimd.Load(scales), factor), total);
}
