using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// One tile times one row of activations in f32: y[16] = sum over k of W[16, k] x[k]. Codes become values in registers, lane = row; four accumulators for the columns of a group, joined at the end of a block, where the
/// scale comes in. The order of additions depends on the layout only, not on threads.
/// </summary>
internal static unsafe class FloatMatVec<TSimd, TCodes, TValues>
    where TSimd : struct, ISimd<TSimd>
    where TCodes : struct, ICodes
    where TValues : struct, IValues
{
    /// <param name="tile">The tile, see <see cref="TileLayout"/>.</param>
    /// <param name="weight">What codes mean.</param>
    /// <param name="x">[padded columns] activations, zero beyond the matrix.</param>
    /// <param name="y">[16] sums.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(byte* tile, in TileWeight weight, float* x, float* y)
    {
        float* scratch = stackalloc float[TileScales.Scratch];
        new Span<float>(y, TileLayout.TileRows).Clear();
        int left = weight.Units;
        byte* unit = tile + weight.CodesOffset;
        for (int block = 0; block < weight.Blocks; block += TileScales.Blocks)
        {
            int blocks = Math.Min(TileScales.Blocks, weight.Blocks - block);
            float* scales = TileScales.Scales<TSimd>(tile, weight.Scale, block, blocks, scratch);
            float* zeros = TileScales.Zeros<TSimd>(tile, weight, block, blocks, scratch);

            // The last block of a row may be short.
            int whole = Math.Min(blocks, left / weight.BlockUnits);
            for (int row = 0; row < TileLayout.TileRows; row += TSimd.Count)
            {
                Blocks(unit + (4 * row), whole, weight.BlockUnits, x, weight.Table, scales + row, zeros + row, weight.ZeroStride, y + row);
            }

            int done = whole * weight.BlockUnits;
            left -= done;
            unit += (long)done * weight.UnitBytes;
            x += done * TCodes.UnitColumns;
            if (whole < blocks)
            {
                for (int row = 0; row < TileLayout.TileRows; row += TSimd.Count)
                {
                    Blocks(unit + (4 * row), 1, left, x, weight.Table, scales + (TileLayout.TileRows * whole) + row, zeros + (weight.ZeroStride * whole) + row, 0, y + row);
                }
            }
        }

        for (int row = 0; row < TileLayout.TileRows; row += TSimd.Count)
        {
            TSimd.Store(TSimd.Multiply(TSimd.Load(y + row), TSimd.Create(weight.Multiplier)), y + row);
        }
    }

    /// <summary>Adds blocks of the same length to the sums of as many rows as there are lanes.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    internal static void Blocks(byte* unit, int blocks, int units, float* x, float* table, float* scales, float* zeros, int zeroStride, float* y)
    {
        TSimd total = TSimd.Load(y);
        for (int block = 0; block < blocks; block++)
        {
            TSimd zero = TSimd.Load(zeros);
            TSimd a = TSimd.Zero;
            TSimd b = TSimd.Zero;
            TSimd c = TSimd.Zero;
            TSimd d = TSimd.Zero;
            for (int i = 0; i < units; i++)
            {
                Prefetching.Ahead(unit, TileLayout.TileRows * TCodes.UnitColumns * TCodes.Bits / 8);
                Group(unit, 0, x, table, zero, ref a, ref b, ref c, ref d);
                Group(unit, 1, x, table, zero, ref a, ref b, ref c, ref d);
                Group(unit, 2, x, table, zero, ref a, ref b, ref c, ref d);
                Group(unit, 3, x, table, zero, ref a, ref b, ref c, ref d);
                if (TCodes.UnitColumns == 32)
                {
                    Group(unit, 4, x, table, zero, ref a, ref b, ref c, ref d);
                    Group(unit, 5, x, table, zero, ref a, ref b, ref c, ref d);
                    Group(unit, 6, x, table, zero, ref a, ref b, ref c, ref d);
                    Group(unit, 7, x, table, zero, ref a, ref b, ref c, ref d);
                }

                unit += TileLayout.TileRows * TCodes.UnitColumns * TCodes.Bits / 8;
                x += TCodes.UnitColumns;
            }

            total = TSimd.MultiplyAdd(TSimd.Add(TSimd.Add(a, b), TSimd.Add(c, d)), TSimd.Load(scales), total);
            scales += TileLayout.TileRows;
            zeros += zeroStride;
        }

        TSimd.Store(total, y);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Group(byte* unit, int group, float* x, float* table, TSimd zero, ref TSimd a, ref TSimd b, ref TSimd c, ref TSimd d)
    {
        TValues.Get<TSimd, TCodes>(unit, group, table, zero, out TSimd first, out TSimd second, out TSimd third, out TSimd fourth);
        a = TSimd.MultiplyAdd(first, TSimd.Broadcast(x + (4 * group)), a);
        b = TSimd.MultiplyAdd(second, TSimd.Broadcast(x + (4 * group) + 1), b);
        c = TSimd.MultiplyAdd(third, TSimd.Broadcast(x + (4 * group) + 2), c);
        d = TSimd.MultiplyAdd(fourth, TSimd.Broadcast(x + (4 * group) + 3), d);
    }
}
