using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>Codes of 4 bits.</summary>
internal readonly unsafe struct Codes4 : ICodes
{
    public static int Bits => 4;

    public static int UnitColumns => 16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Group<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => TilePlanes.Four<TSimd>(unit, group);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Low<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => TSimd.ShiftRight(TSimd.Load(unit + (TilePlanes.VectorBytes * (group >> 1))), 4 * (group & 1));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Raw<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => TSimd.Load(unit + (TilePlanes.VectorBytes * (group >> 1)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Lane<TSimd>(TSimd raw, int group, int column)
        where TSimd : struct, ISimd<TSimd> => TSimd.ShiftRight(raw, (8 * column) + (4 * (group & 1)));
}
