using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>The products of two groups fit 16 bits together: bytes up to 64.</summary>
internal readonly unsafe struct TwoGroupsDot : IDot
{
    public static bool IsInstruction => false;

    public static int ActivationBytes => 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Add<TSimd>(TSimd codes0, TSimd codes1, TSimd codes2, TSimd codes3, byte* x, ref TSimd a, ref TSimd b, ref TSimd c, ref TSimd d)
        where TSimd : struct, ISimd<TSimd>
    {
        a = TSimd.AddPairs(a, TSimd.AddWords(TSimd.MultiplyBytes(codes0, TSimd.Broadcast(x)), TSimd.MultiplyBytes(codes1, TSimd.Broadcast(x + 4))));
        b = TSimd.AddPairs(b, TSimd.AddWords(TSimd.MultiplyBytes(codes2, TSimd.Broadcast(x + 8)), TSimd.MultiplyBytes(codes3, TSimd.Broadcast(x + 12))));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Join<TSimd>(TSimd a, TSimd b, TSimd c, TSimd d)
        where TSimd : struct, ISimd<TSimd> => TSimd.AddIntegers(a, b);

    /// <summary>Largest byte.</summary>
    public const int Largest = short.MaxValue / (2 * 2 * 127);
}
