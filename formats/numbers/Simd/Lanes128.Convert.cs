using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

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

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePairs(Lanes128 first, Lanes128 second, ref float destination)
    {
        StorePairs(first._a, second._a, ref destination);
        StorePairs(first._b, second._b, ref Unsafe.Add(ref destination, 8));
        StorePairs(first._c, second._c, ref Unsafe.Add(ref destination, 16));
        StorePairs(first._d, second._d, ref Unsafe.Add(ref destination, 24));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void StorePairs(Vector128<float> first, Vector128<float> second, ref float destination)
    {
        Vector128<float> low, high;
        if (Sse.IsSupported)
        {
            low = Sse.UnpackLow(first, second);
            high = Sse.UnpackHigh(first, second);
        }
        else
        {
            low = Vector128.Create(first[0], second[0], first[1], second[1]);
            high = Vector128.Create(first[2], second[2], first[3], second[3]);
        }

        low.StoreUnsafe(ref destination);
        high.StoreUnsafe(ref destination, 4);
    }
}
