using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>Four products in one instruction.</summary>
internal readonly unsafe struct InstructionDot : IDot
{
    public static bool IsInstruction => true;

    public static int ActivationBytes => 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Add<TSimd>(TSimd codes0, TSimd codes1, TSimd codes2, TSimd codes3, byte* x, ref TSimd a, ref TSimd b, ref TSimd c, ref TSimd d)
        where TSimd : struct, ISimd<TSimd>
    {
        a = TSimd.Dot(a, codes0, TSimd.Broadcast(x));
        b = TSimd.Dot(b, codes1, TSimd.Broadcast(x + 4));
        c = TSimd.Dot(c, codes2, TSimd.Broadcast(x + 8));
        d = TSimd.Dot(d, codes3, TSimd.Broadcast(x + 12));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Join<TSimd>(TSimd a, TSimd b, TSimd c, TSimd d)
        where TSimd : struct, ISimd<TSimd> => TSimd.AddIntegers(TSimd.AddIntegers(a, b), TSimd.AddIntegers(c, d));
}
