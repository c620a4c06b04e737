using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>Codes of 6 bits: planes of 4 and 2.</summary>
internal readonly unsafe struct Codes6 : ICodes
{
    public static int Bits => 6;

    public static int UnitColumns => 16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Group<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => TSimd.Or(TilePlanes.Four<TSimd>(unit, group), TilePlanes.Two<TSimd>(unit + (2 * TilePlanes.VectorBytes), group, 4));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Low<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => Group<TSimd>(unit, group);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Raw<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => Group<TSimd>(unit, group);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Lane<TSimd>(TSimd raw, int group, int column)
        where TSimd : struct, ISimd<TSimd> => TSimd.ShiftRight(raw, 8 * column);
}
