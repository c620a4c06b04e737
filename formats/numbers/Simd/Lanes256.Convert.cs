using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

internal readonly partial struct Lanes256
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 TruncateToInt(Lanes256 a) => new(Vector256.ConvertToInt32Native(a._a).AsSingle(), Vector256.ConvertToInt32Native(a._b).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 MinInt(Lanes256 a, Lanes256 b) => new(Vector256.Min(a._a.AsInt32(), b._a.AsInt32()).AsSingle(), Vector256.Min(a._b.AsInt32(), b._b.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint SignBits(Lanes256 a) => a._a.ExtractMostSignificantBits() | (a._b.ExtractMostSignificantBits() << 8);
}
