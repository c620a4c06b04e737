using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>table[code] of up to 64 values that bf16 holds exactly, codes in paired order (<see cref="TileLayout.Paired"/>).</summary>
internal readonly unsafe struct Paired64Values : IValues
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Get<TSimd, TCodes>(byte* unit, int group, float* table, TSimd zero, out TSimd a, out TSimd b, out TSimd c, out TSimd d)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes
    {
        TSimd.Pair64(table, TCodes.Group<TSimd>(unit, group), out a, out b, out c, out d);
    }
}
