using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>Codes of whole units as the bytes that integer kernels multiply: 64 bytes for every group of four columns.</summary>
internal static unsafe class CodePanel<TSimd, TCodes, TMap>
    where TSimd : struct, ISimd<TSimd>
    where TCodes : struct, ICodes
    where TMap : struct, IByteMap
{
    /// <param name="units">The units.</param>
    /// <param name="table">Sixteen bytes for <typeparamref name="TMap"/>; may be null.</param>
    /// <param name="count">Units.</param>
    /// <param name="to">Destination.</param>
    /// <param name="groupBytes">Bytes from group to group.</param>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Unpack(byte* units, byte* table, int count, byte* to, int groupBytes)
    {
        TSimd map = table == null ? TSimd.Zero : TSimd.RepeatBytes(table);
        for (int i = 0; i < count; i++)
        {
            Prefetching.Ahead(units, TileLayout.TileRows * TCodes.UnitColumns * TCodes.Bits / 8);
            for (int row = 0; row < TileLayout.TileRows; row += TSimd.Count)
            {
                Unit(units + (4 * row), map, to + (4 * row), groupBytes);
            }

            units += TileLayout.TileRows * TCodes.UnitColumns * TCodes.Bits / 8;
            to += TCodes.UnitColumns / 4 * groupBytes;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Unit(byte* unit, TSimd map, byte* to, int groupBytes)
    {
        TSimd.Store(TMap.Get<TSimd, TCodes>(unit, 0, map), to);
        TSimd.Store(TMap.Get<TSimd, TCodes>(unit, 1, map), to + groupBytes);
        TSimd.Store(TMap.Get<TSimd, TCodes>(unit, 2, map), to + (2 * groupBytes));
        TSimd.Store(TMap.Get<TSimd, TCodes>(unit, 3, map), to + (3 * groupBytes));
        if (TCodes.UnitColumns == 32)
        {
            to += 4 * groupBytes;
            TSimd.Store(TMap.Get<TSimd, TCodes>(unit, 4, map), to);
            TSimd.Store(TMap.Get<TSimd, TCodes>(unit, 5, map), to + groupBytes);
            TSimd.Store(TMap.Get<TSimd, TCodes>(unit, 6, map), to + (2 * groupBytes));
            TSimd.Store(TMap.Get<TSimd, TCodes>(unit, 7, map), to + (3 * groupBytes));
        }
    }
}
