using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Structures;

/// <summary>The loops of structure <c>delta</c>: element-wise differences modulo 2^w, folded so that small ones of either sign are small numbers.</summary>
public static class DeltaKernel
{
    /// <summary>Replaces elements by their differences from the base.</summary>
    /// <param name="elements">A whole number of elements; overwritten.</param>
    /// <param name="baseElements">As many bytes.</param>
    /// <param name="width">Bytes of an element: 1, 2, 4 or 8.</param>
    public static void Subtract(Span<byte> elements, ReadOnlySpan<byte> baseElements, int width)
    {
        switch (width)
        {
            case 1:
                Subtract<byte>(elements, baseElements);
                break;
            case 2:
                Subtract<ushort>(elements, baseElements);
                break;
            case 4:
                Subtract<uint>(elements, baseElements);
                break;
            default:
                Subtract<ulong>(elements, baseElements);
                break;
        }
    }

    /// <summary>Replaces differences by the elements they stand for: the inverse of <see cref="Subtract(Span{byte}, ReadOnlySpan{byte}, int)"/>.</summary>
    public static void Add(Span<byte> differences, ReadOnlySpan<byte> baseElements, int width)
    {
        switch (width)
        {
            case 1:
                Add<byte>(differences, baseElements);
                break;
            case 2:
                Add<ushort>(differences, baseElements);
                break;
            case 4:
                Add<uint>(differences, baseElements);
                break;
            default:
                Add<ulong>(differences, baseElements);
                break;
        }
    }

    /// <summary>The reference of <see cref="Subtract(Span{byte}, ReadOnlySpan{byte}, int)"/>, and the tail of its loop.</summary>
    internal static void SubtractScalar<T>(Span<T> x, ReadOnlySpan<T> y, int start)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        int sign = (8 * Unsafe.SizeOf<T>()) - 1;
        for (int i = start; i < x.Length; i++)
        {
            T d = unchecked(x[i] - y[i]);
            x[i] = (d << 1) ^ unchecked(T.Zero - (d >>> sign));
        }
    }

    /// <summary>The reference of <see cref="Add(Span{byte}, ReadOnlySpan{byte}, int)"/>, and the tail of its loop.</summary>
    internal static void AddScalar<T>(Span<T> x, ReadOnlySpan<T> y, int start)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        for (int i = start; i < x.Length; i++)
        {
            T s = x[i];
            x[i] = unchecked(y[i] + ((s >>> 1) ^ (T.Zero - (s & T.One))));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Subtract<T>(Span<byte> elements, ReadOnlySpan<byte> baseElements)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        Span<T> x = MemoryMarshal.Cast<byte, T>(elements);
        ReadOnlySpan<T> y = MemoryMarshal.Cast<byte, T>(baseElements)[..x.Length];
        int i = 0;
        if (Vector128.IsHardwareAccelerated)
        {
            // Lanes are elements: d = x - y; x = (d << 1) ^ -(d >>> (w - 1)).
            ref T a = ref MemoryMarshal.GetReference(x);
            ref T b = ref MemoryMarshal.GetReference(y);
            int sign = (8 * Unsafe.SizeOf<T>()) - 1;
            for (; i <= x.Length - Vector128<T>.Count; i += Vector128<T>.Count)
            {
                Vector128<T> d = Vector128.LoadUnsafe(ref a, (nuint)i) - Vector128.LoadUnsafe(ref b, (nuint)i);
                ((d << 1) ^ (Vector128<T>.Zero - (d >>> sign))).StoreUnsafe(ref a, (nuint)i);
            }
        }

        SubtractScalar(x, y, i);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Add<T>(Span<byte> differences, ReadOnlySpan<byte> baseElements)
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        Span<T> x = MemoryMarshal.Cast<byte, T>(differences);
        ReadOnlySpan<T> y = MemoryMarshal.Cast<byte, T>(baseElements)[..x.Length];
        int i = 0;
        if (Vector128.IsHardwareAccelerated)
        {
            // Lanes are elements: x = y + ((s >>> 1) ^ -(s & 1)).
            ref T a = ref MemoryMarshal.GetReference(x);
            ref T b = ref MemoryMarshal.GetReference(y);
            for (; i <= x.Length - Vector128<T>.Count; i += Vector128<T>.Count)
            {
                Vector128<T> s = Vector128.LoadUnsafe(ref a, (nuint)i);
                (Vector128.LoadUnsafe(ref b, (nuint)i) + ((s >>> 1) ^ (Vector128<T>.Zero - (s & Vector128<T>.One)))).StoreUnsafe(ref a, (nuint)i);
            }
        }

        AddScalar(x, y, i);
    }
}
