using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>bf16 in <see cref="Codes16"/>: the upper half of an f32.</summary>
internal readonly unsafe struct BFloat16Values : IValues
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Get<TSimd, TCodes>(byte* unit, int group, float* table, TSimd zero, out TSimd a, out TSimd b, out TSimd c, out TSimd d)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes
    {
        TSimd upper = TSimd.Create(unchecked((int)0xFFFF0000));
        TSimd first = Codes16.Group<TSimd>(unit, group);
        TSimd second = Codes16.Second<TSimd>(unit, group);
        a = TSimd.ShiftLeft(first, 16);
        b = TSimd.And(first, upper);
        c = TSimd.ShiftLeft(second, 16);
        d = TSimd.And(second, upper);
    }
}
