using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>table[code] of 256 values that bf16 holds exactly, the upper 128 the negatives of the lower ones; codes in paired order.</summary>
internal readonly unsafe struct PairedSignedValues : IValues
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Get<TSimd, TCodes>(byte* unit, int group, float* table, TSimd zero, out TSimd a, out TSimd b, out TSimd c, out TSimd d)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes
    {
        TSimd.PairSigned(table, TCodes.Group<TSimd>(unit, group), out a, out b, out c, out d);
    }
}
