using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>Codes of 2 bits.</summary>
internal readonly unsafe struct Codes2 : ICodes
{
    public static int Bits => 2;

    public static int UnitColumns => 16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Group<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => TilePlanes.Two<TSimd>(unit, group, 0);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Low<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => TSimd.ShiftRight(TSimd.Load(unit), 2 * group);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Raw<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => TSimd.Load(unit);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Lane<TSimd>(TSimd raw, int group, int column)
        where TSimd : struct, ISimd<TSimd> => TSimd.ShiftRight(raw, (8 * column) + (2 * group));
}
