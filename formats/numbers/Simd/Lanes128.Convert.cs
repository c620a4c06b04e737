using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

internal readonly partial struct Lanes128
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 TruncateToInt(Lanes128 a) => new(
        Vector128.ConvertToInt32Native(a._a).AsSingle(),
        Vector128.ConvertToInt32Native(a._b).AsSingle(),
        Vector128.ConvertToInt32Native(a._c).AsSingle(),
        Vector128.ConvertToInt32Native(a._d).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 MinInt(Lanes128 a, Lanes128 b) => new(
        Vector128.Min(a._a.AsInt32(), b._a.AsInt32()).AsSingle(),
        Vector128.Min(a._b.AsInt32(), b._b.AsInt32()).AsSingle(),
        Vector128.Min(a._c.AsInt32(), b._c.AsInt32()).AsSingle(),
        Vector128.Min(a._d.AsInt32(), b._d.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint SignBits(Lanes128 a) =>
        a._a.ExtractMostSignificantBits() | (a._b.ExtractMostSignificantBits() << 4) | (a._c.ExtractMostSignificantBits() << 8) | (a._d.ExtractMostSignificantBits() << 12);
}
