using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>Codes of 5 bits: planes of 4 and 1.</summary>
internal readonly unsafe struct Codes5 : ICodes
{
    public static int Bits => 5;

    public static int UnitColumns => 32;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Group<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => TSimd.Or(TilePlanes.Four<TSimd>(unit, group), TilePlanes.One<TSimd>(unit + (4 * TilePlanes.VectorBytes), group, 4));

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
