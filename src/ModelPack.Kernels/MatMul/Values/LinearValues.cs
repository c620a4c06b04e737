using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>code - zero point.</summary>
internal readonly unsafe struct LinearValues : IValues
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Get<TSimd, TCodes>(byte* unit, int group, float* table, TSimd zero, out TSimd a, out TSimd b, out TSimd c, out TSimd d)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes
    {
        TSimd raw = TCodes.Raw<TSimd>(unit, group);
        a = Value<TSimd, TCodes>(raw, group, 0, zero);
        b = Value<TSimd, TCodes>(raw, group, 1, zero);
        c = Value<TSimd, TCodes>(raw, group, 2, zero);
        d = Value<TSimd, TCodes>(raw, group, 3, zero);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TSimd Value<TSimd, TCodes>(TSimd raw, int group, int column, TSimd zero)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes =>
        TSimd.Subtract(TSimd.ToSingle(TSimd.And(TCodes.Lane(raw, group, column), TSimd.Create((1 << TCodes.Bits) - 1))), zero);
}
