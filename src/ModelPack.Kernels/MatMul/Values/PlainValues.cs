using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>f32 as it is, or bf16, whose bits are the upper half of an f32.</summary>
internal readonly unsafe struct PlainValues : IValues
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Get<TSimd, TCodes>(byte* unit, int group, float* table, TSimd zero, out TSimd a, out TSimd b, out TSimd c, out TSimd d)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes
    {
        byte* at = unit + (group * TilePlanes.VectorBytes * TCodes.Bits / 8);
        a = TSimd.Load(at);
        b = TSimd.Load(at + TilePlanes.VectorBytes);
        if (TCodes.Bits == 16)
        {
            TSimd mask = TSimd.Create(unchecked((int)0xFFFF0000));
            c = TSimd.ShiftLeft(b, 16);
            d = TSimd.And(b, mask);
            b = TSimd.And(a, mask);
            a = TSimd.ShiftLeft(a, 16);
            return;
        }

        c = TSimd.Load(at + (2 * TilePlanes.VectorBytes));
        d = TSimd.Load(at + (3 * TilePlanes.VectorBytes));
    }
}
