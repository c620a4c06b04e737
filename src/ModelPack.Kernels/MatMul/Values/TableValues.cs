using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>table[code] of up to 256 values of any kind.</summary>
internal readonly unsafe struct TableValues : IValues
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Get<TSimd, TCodes>(byte* unit, int group, float* table, TSimd zero, out TSimd a, out TSimd b, out TSimd c, out TSimd d)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes
    {
        TSimd raw = TCodes.Raw<TSimd>(unit, group);
        a = TSimd.Lookup(table, TSimd.And(TCodes.Lane(raw, group, 0), TSimd.Create((1 << TCodes.Bits) - 1)));
        b = TSimd.Lookup(table, TSimd.And(TCodes.Lane(raw, group, 1), TSimd.Create((1 << TCodes.Bits) - 1)));
        c = TSimd.Lookup(table, TSimd.And(TCodes.Lane(raw, group, 2), TSimd.Create((1 << TCodes.Bits) - 1)));
        d = TSimd.Lookup(table, TSimd.And(TCodes.Lane(raw, group, 3), TSimd.Create((1 << TCodes.Bits) - 1)));
    }
}
