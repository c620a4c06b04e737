using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>Codes of 7 bits: planes of 4, 2 and 1.</summary>
internal readonly unsafe struct Codes7 : ICodes
{
    public static int Bits => 7;

    public static int UnitColumns => 32;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Group<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => TSimd.Or(
            TSimd.Or(TilePlanes.Four<TSimd>(unit, group), TilePlanes.Two<TSimd>(unit + (TilePlanes.VectorBytes * (4 + (group >> 2))), group & 3, 4)),
            TilePlanes.One<TSimd>(unit + (6 * TilePlanes.VectorBytes), group, 6));

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
