using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>16-bit posits with one exponent bit.</summary>
internal readonly unsafe struct Posit1Values : IValues
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Get<TSimd, TCodes>(byte* unit, int group, float* table, TSimd zero, out TSimd a, out TSimd b, out TSimd c, out TSimd d)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes => PositPairs.Get(unit, group, 1, out a, out b, out c, out d);
}
