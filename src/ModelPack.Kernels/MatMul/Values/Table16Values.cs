using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>table[code] of at most 16 values; shorter tables are repeated, so that bits above a code do not matter.</summary>
internal readonly unsafe struct Table16Values : IValues
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Get<TSimd, TCodes>(byte* unit, int group, float* table, TSimd zero, out TSimd a, out TSimd b, out TSimd c, out TSimd d)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes
    {
        TSimd raw = TCodes.Raw<TSimd>(unit, group);
        a = TSimd.Lookup16(table, TCodes.Lane(raw, group, 0));
        b = TSimd.Lookup16(table, TCodes.Lane(raw, group, 1));
        c = TSimd.Lookup16(table, TCodes.Lane(raw, group, 2));
        d = TSimd.Lookup16(table, TCodes.Lane(raw, group, 3));
    }
}
