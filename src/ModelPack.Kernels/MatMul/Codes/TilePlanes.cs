using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>The bits of one group out of a plane of 4, 2 or 1 bits, see <see cref="ICodes"/>.</summary>
internal static unsafe class TilePlanes
{
    /// <summary>16 rows of 4 bytes.</summary>
    public const int VectorBytes = 64;

    /// <summary>Four bits per byte; a vector holds two groups.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Four<TSimd>(byte* plane, int group)
        where TSimd : struct, ISimd<TSimd> =>
        TSimd.And(TSimd.ShiftRight(TSimd.Load(plane + (VectorBytes * (group >> 1))), 4 * (group & 1)), TSimd.Create(0x0F0F0F0F));

    /// <summary>Two bits per byte, at bit <paramref name="position"/> of the result.</summary>
    /// <param name="vector">The vector that holds the group.</param>
    /// <param name="group">Which of its four.</param>
    /// <param name="position">0 or 4.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Two<TSimd>(byte* vector, int group, int position)
        where TSimd : struct, ISimd<TSimd> =>
        TSimd.And(Move(TSimd.Load(vector), 2 * group, position), TSimd.Create(0x03030303 << position));

    /// <summary>One bit per byte, at bit <paramref name="position"/> of the result; a vector holds eight groups.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd One<TSimd>(byte* vector, int group, int position)
        where TSimd : struct, ISimd<TSimd> =>
        TSimd.And(Move(TSimd.Load(vector), group, position), TSimd.Create(0x01010101 << position));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TSimd Move<TSimd>(TSimd value, int from, int to)
        where TSimd : struct, ISimd<TSimd> =>
        from > to ? TSimd.ShiftRight(value, from - to) : from < to ? TSimd.ShiftLeft(value, to - from) : value;
}
