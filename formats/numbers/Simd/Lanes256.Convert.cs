using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

internal readonly partial struct Lanes256
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 TruncateToInt(Lanes256 a) => new(Vector256.ConvertToInt32Native(a._a).AsSingle(), Vector256.ConvertToInt32Native(a._b).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 MinInt(Lanes256 a, Lanes256 b) => new(Vector256.Min(a._a.AsInt32(), b._a.AsInt32()).AsSingle(), Vector256.Min(a._b.AsInt32(), b._b.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint SignBits(Lanes256 a) => a._a.ExtractMostSignificantBits() | (a._b.ExtractMostSignificantBits() << 8);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePairs(Lanes256 first, Lanes256 second, ref float destination)
    {
        StorePairs(first._a, second._a, ref destination);
        StorePairs(first._b, second._b, ref Unsafe.Add(ref destination, 16));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void StorePairs(Vector256<float> first, Vector256<float> second, ref float destination)
    {
        if (Avx2.IsSupported)
        {
            // Within halves of registers: lanes 0, 1, 4, 5 and 2, 3, 6, 7.
            Vector256<float> low = Avx.UnpackLow(first, second);
            Vector256<float> high = Avx.UnpackHigh(first, second);
            Avx.Permute2x128(low, high, 0x20).StoreUnsafe(ref destination);
            Avx.Permute2x128(low, high, 0x31).StoreUnsafe(ref destination, 8);
        }
        else
        {
            Lanes128.StorePairs(first.GetLower(), second.GetLower(), ref destination);
            Lanes128.StorePairs(first.GetUpper(), second.GetUpper(), ref Unsafe.Add(ref destination, 8));
        }
    }
}
