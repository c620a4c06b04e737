using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>Codes of 3 bits: planes of 2 and 1.</summary>
internal readonly unsafe struct Codes3 : ICodes
{
    public static int Bits => 3;

    public static int UnitColumns => 32;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Group<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => TSimd.Or(TilePlanes.Two<TSimd>(unit + (TilePlanes.VectorBytes * (group >> 2)), group & 3, 0), TilePlanes.One<TSimd>(unit + (2 * TilePlanes.VectorBytes), group, 2));

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
