using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>Codes of 16 bits: a group takes two vectors, columns 0 and 1 of every row in the first, 2 and 3 in the second, the even column in the lower half of a lane. They are read by kinds of values that know this.</summary>
internal readonly unsafe struct Codes16 : ICodes
{
    public static int Bits => 16;

    public static int UnitColumns => 16;

    /// <summary>The first vector of a group.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Group<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => TSimd.Load(unit + (2 * TilePlanes.VectorBytes * group));

    /// <summary>The second vector of a group.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Second<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => Group<TSimd>(unit + TilePlanes.VectorBytes, group);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Low<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => Group<TSimd>(unit, group);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Raw<TSimd>(byte* unit, int group)
        where TSimd : struct, ISimd<TSimd> => Group<TSimd>(unit, group);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Lane<TSimd>(TSimd raw, int group, int column)
        where TSimd : struct, ISimd<TSimd> => TSimd.ShiftRight(raw, 16 * (column & 1));
}
