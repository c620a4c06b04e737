using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>Any byte: even and odd ones are multiplied as words of 16 bits.</summary>
internal readonly unsafe struct WordsDot : IDot
{
    public static bool IsInstruction => false;

    public static int ActivationBytes => 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Add<TSimd>(TSimd codes0, TSimd codes1, TSimd codes2, TSimd codes3, byte* x, ref TSimd a, ref TSimd b, ref TSimd c, ref TSimd d)
        where TSimd : struct, ISimd<TSimd>
    {
        a = Add(a, codes0, x);
        b = Add(b, codes1, x + 8);
        c = Add(c, codes2, x + 16);
        d = Add(d, codes3, x + 24);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Join<TSimd>(TSimd a, TSimd b, TSimd c, TSimd d)
        where TSimd : struct, ISimd<TSimd> => TSimd.AddIntegers(TSimd.AddIntegers(a, b), TSimd.AddIntegers(c, d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TSimd Add<TSimd>(TSimd sum, TSimd codes, byte* x)
        where TSimd : struct, ISimd<TSimd> =>
        TSimd.DotWords(TSimd.DotWords(sum, TSimd.And(codes, TSimd.Create(0x00FF00FF)), TSimd.Broadcast(x)), TSimd.ShiftRightWords(codes, 8), TSimd.Broadcast(x + 4));
}
