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
    public static void Run(byte* tile, in TileWeight weight, float* x, float* y)
    {
        TileLayout layout = weight.Layout;
        for (int row = 0; row < TileLayout.TileRows; row += TSimd.Count)
        {
            byte* unit = tile + layout.CodesOffset + (4 * row);
            float* activations = x;
            TSimd total = TSimd.Zero;
            TSimd zero = TSimd.Create((float)weight.Zero);
            int left = layout.Units;
            for (int block = 0; block < layout.Blocks; block++)
            {
                if (layout.HasZeros)
                {
                    zero = TSimd.ToSingle(TSimd.WidenBytes(tile + layout.ZerosOffset + (TileLayout.TileRows * (long)block) + row));
                }

                int units = Math.Min(left, layout.BlockUnits);
                left -= units;
                TSimd sum = Block(unit, units, layout.UnitBytes, activations, weight.Table, zero);
                total = TSimd.MultiplyAdd(sum, TileScales.Load<TSimd>(tile, layout.Scale, (TileLayout.TileRows * block) + row), total);
                unit += (long)units * layout.UnitBytes;
                activations += units * TCodes.UnitColumns;
            }

            TSimd.Store(TSimd.Multiply(total, TSimd.Create(weight.Multiplier)), y + row);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TSimd Block(byte* unit, int units, int unitBytes, float* x, float* table, TSimd zero)
    {
        TSimd a = TSimd.Zero;
        TSimd b = TSimd.Zero;
        TSimd c = TSimd.Zero;
        TSimd d = TSimd.Zero;
        for (int i = 0; i < units; i++)
        {
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

            unit += unitBytes;
            x += TCodes.UnitColumns;
        }

        return TSimd.Add(TSimd.Add(a, b), TSimd.Add(c, d));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Group(byte* unit, int group, float* x, float* table, TSimd zero, ref TSimd a, ref TSimd b, ref TSimd c, ref TSimd d)
    {
        a = TSimd.MultiplyAdd(TValues.Get<TSimd, TCodes>(unit, group, 0, table, zero), TSimd.Broadcast(x + (4 * group)), a);
        b = TSimd.MultiplyAdd(TValues.Get<TSimd, TCodes>(unit, group, 1, table, zero), TSimd.Broadcast(x + (4 * group) + 1), b);
        c = TSimd.MultiplyAdd(TValues.Get<TSimd, TCodes>(unit, group, 2, table, zero), TSimd.Broadcast(x + (4 * group) + 2), c);
        d = TSimd.MultiplyAdd(TValues.Get<TSimd, TCodes>(unit, group, 3, table, zero), TSimd.Broadcast(x + (4 * group) + 3), d);
    }
}
