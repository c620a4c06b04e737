using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

internal readonly partial struct Lanes512
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 TruncateToInt(Lanes512 a) => new(Vector512.ConvertToInt32Native(a._v).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 MinInt(Lanes512 a, Lanes512 b) => new(Vector512.Min(a._v.AsInt32(), b._v.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint SignBits(Lanes512 a) => (uint)a._v.ExtractMostSignificantBits();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePairs(Lanes512 first, Lanes512 second, ref float destination)
    {
        if (Avx512F.IsSupported)
        {
            // Indexes from 16 on mean the second vector.
            Vector512<int> low = Vector512.Create(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            Avx512F.PermuteVar16x32x2(first._v, low, second._v).StoreUnsafe(ref destination);
            Avx512F.PermuteVar16x32x2(first._v, low + Vector512.Create(8), second._v).StoreUnsafe(ref destination, 16);
        }
        else
        {
            Lanes256.StorePairs(first._v.GetLower(), second._v.GetLower(), ref destination);
            Lanes256.StorePairs(first._v.GetUpper(), second._v.GetUpper(), ref Unsafe.Add(ref destination, 16));
        }
    }
}
