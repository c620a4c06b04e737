using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>Codes of whole units as values in BF16, which holds them exactly: 64 bytes for every pair of columns, the first in the lower half of a lane.</summary>
internal static unsafe class BFloat16Panel<TSimd, TCodes, TValues>
    where TSimd : struct, ISimd<TSimd>
    where TCodes : struct, ICodes
    where TValues : struct, IValues
{
    /// <param name="unit">The units.</param>
    /// <param name="table">Values by code.</param>
    /// <param name="zeros">[16] zero points as f32, where codes have one.</param>
    /// <param name="count">Units.</param>
    /// <param name="to">Destination.</param>
    /// <param name="pairBytes">Bytes from pair to pair.</param>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Unpack(byte* unit, float* table, float* zeros, int count, byte* to, int pairBytes)
    {
        for (int i = 0; i < count; i++)
        {
            Prefetching.Ahead(unit, TileLayout.TileRows * TCodes.UnitColumns * TCodes.Bits / 8);
            for (int row = 0; row < TileLayout.TileRows; row += TSimd.Count)
            {
                TSimd zero = TSimd.Load(zeros + row);
                byte* from = unit + (4 * row);
                byte* at = to + (4 * row);
                Group(from, 0, table, zero, at, pairBytes);
                Group(from, 1, table, zero, at, pairBytes);
                Group(from, 2, table, zero, at, pairBytes);
                Group(from, 3, table, zero, at, pairBytes);
                if (TCodes.UnitColumns == 32)
                {
                    Group(from, 4, table, zero, at, pairBytes);
                    Group(from, 5, table, zero, at, pairBytes);
                    Group(from, 6, table, zero, at, pairBytes);
                    Group(from, 7, table, zero, at, pairBytes);
                }
            }

            unit += TileLayout.TileRows * TCodes.UnitColumns * TCodes.Bits / 8;
            to += TCodes.UnitColumns / 2 * pairBytes;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Group(byte* unit, int group, float* table, TSimd zero, byte* to, int pairBytes)
    {
        TValues.Get<TSimd, TCodes>(unit, group, table, zero, out TSimd a, out TSimd b, out TSimd c, out TSimd d);
        to += 2 * group * pairBytes;
        TSimd mask = TSimd.Create(unchecked((int)0xFFFF0000));
        TSimd.Store(TSimd.Or(TSimd.ShiftRight(a, 16), TSimd.And(b, mask)), to);
        TSimd.Store(TSimd.Or(TSimd.ShiftRight(c, 16), TSimd.And(d, mask)), to + pairBytes);
    }
}
