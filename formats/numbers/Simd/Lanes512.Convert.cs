using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

internal readonly partial struct Lanes512
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 TruncateToInt(Lanes512 a) => new(Vector512.ConvertToInt32Native(a._v).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 MinInt(Lanes512 a, Lanes512 b) => new(Vector512.Min(a._v.AsInt32(), b._v.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint SignBits(Lanes512 a) => (uint)a._v.ExtractMostSignificantBits();
}
