using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Compiler.Linear;

/// <summary>
/// The one hot loop of calibration and of the algorithms on it: <c>c[m, n] += sum over d of a[d, m] x b[d, n]</c>, or <c>-=</c>. Second moments, the trailing update of a factorisation and the lazy update of
/// weights all have this form.
/// </summary>
/// <remarks>
/// Lanes run along n, and every element of c is one sum over d in ascending order, each product and each sum rounded on its own, then added to c. So bytes depend neither on the width of the vectors nor on how
/// m and n are cut into pieces; only on how d is.
/// </remarks>
public static class SumOfProducts
{
    /// <summary>Adds or subtracts the products of two panels.</summary>
    /// <typeparam name="T">float or double.</typeparam>
    /// <param name="a">[depth, m] with strides of its own, so that it may be a transposed matrix.</param>
    /// <param name="depthStrideA">Elements from d to d + 1 in <paramref name="a"/>.</param>
    /// <param name="strideA">Elements from m to m + 1 in <paramref name="a"/>.</param>
    /// <param name="b">[depth, n], contiguous along n.</param>
    /// <param name="strideB">Elements from d to d + 1 in <paramref name="b"/>.</param>
    /// <param name="c">[m, n], contiguous along n.</param>
    /// <param name="strideC">Elements from m to m + 1 in <paramref name="c"/>.</param>
    /// <param name="depth">Number of products per element.</param>
    /// <param name="m">Rows of c.</param>
    /// <param name="n">Columns of c.</param>
    /// <param name="subtract">True to subtract the sums from c.</param>
    public static void Run<T>(ReadOnlySpan<T> a, int depthStrideA, int strideA, ReadOnlySpan<T> b, int strideB, Span<T> c, int strideC, int depth, int m, int n, bool subtract)
        where T : unmanaged, INumber<T>
    {
        if (depth <= 0 || m <= 0 || n <= 0)
        {
            return;
        }

        // The last elements that are touched must exist; the kernels below do not check again.
        _ = a[checked(((depth - 1) * depthStrideA) + ((m - 1) * strideA))];
        _ = b[checked(((depth - 1) * strideB) + n - 1)];
        _ = c[checked(((m - 1) * strideC) + n - 1)];
        T sign = subtract ? -T.One : T.One;
        ref T from = ref MemoryMarshal.GetReference(a);
        ref T right = ref MemoryMarshal.GetReference(b);
        ref T to = ref MemoryMarshal.GetReference(c);
        int column = 0;
        if (Vector512.IsHardwareAccelerated)
        {
            int step = 2 * Vector512<T>.Count;
            for (; column + step <= n; column += step)
            {
                int row = 0;
                for (; row + 8 <= m; row += 8)
                {
                    Tile512(ref Unsafe.Add(ref from, row * strideA), depthStrideA, strideA, ref Unsafe.Add(ref right, column), strideB, ref Unsafe.Add(ref to, (row * strideC) + column), strideC, depth, sign);
                }

                for (; row < m; row++)
                {
                    Row512(ref Unsafe.Add(ref from, row * strideA), depthStrideA, ref Unsafe.Add(ref right, column), strideB, ref Unsafe.Add(ref to, (row * strideC) + column), depth, sign);
                }
            }
        }
        else if (Vector256.IsHardwareAccelerated)
        {
            int step = 2 * Vector256<T>.Count;
            for (; column + step <= n; column += step)
            {
                int row = 0;
                for (; row + 4 <= m; row += 4)
                {
                    Tile256(ref Unsafe.Add(ref from, row * strideA), depthStrideA, strideA, ref Unsafe.Add(ref right, column), strideB, ref Unsafe.Add(ref to, (row * strideC) + column), strideC, depth, sign);
                }

                for (; row < m; row++)
                {
                    Row256(ref Unsafe.Add(ref from, row * strideA), depthStrideA, ref Unsafe.Add(ref right, column), strideB, ref Unsafe.Add(ref to, (row * strideC) + column), depth, sign);
                }
            }
        }

        for (; column < n; column++)
        {
            for (int row = 0; row < m; row++)
            {
                T sum = T.Zero;
                for (int d = 0; d < depth; d++)
                {
                    sum += Unsafe.Add(ref from, (d * depthStrideA) + (row * strideA)) * Unsafe.Add(ref right, (d * strideB) + column);
                }

                ref T target = ref Unsafe.Add(ref to, (row * strideC) + column);
                target += sign * sum;
            }
        }
    }

    /// <summary>The definition, for tests: the same sums without vectors.</summary>
    internal static void Reference<T>(ReadOnlySpan<T> a, int depthStrideA, int strideA, ReadOnlySpan<T> b, int strideB, Span<T> c, int strideC, int depth, int m, int n, bool subtract)
        where T : unmanaged, INumber<T>
    {
        for (int row = 0; row < m; row++)
        {
            for (int column = 0; column < n; column++)
            {
                T sum = T.Zero;
                for (int d = 0; d < depth; d++)
                {
                    sum += a[(d * depthStrideA) + (row * strideA)] * b[(d * strideB) + column];
                }

                c[(row * strideC) + column] += subtract ? -sum : sum;
            }
        }
    }

    /// <summary>8 rows by 2 vectors in 16 registers; the factors of a are broadcast from memory.</summary>
    private static void Tile512<T>(ref T a, int depthStrideA, int strideA, ref T b, int strideB, ref T c, int strideC, int depth, T sign)
        where T : unmanaged, INumber<T>
    {
        Vector512<T> s00 = default, s01 = default, s10 = default, s11 = default, s20 = default, s21 = default, s30 = default, s31 = default;
        Vector512<T> s40 = default, s41 = default, s50 = default, s51 = default, s60 = default, s61 = default, s70 = default, s71 = default;
        for (int d = 0; d < depth; d++)
        {
            Vector512<T> b0 = Vector512.LoadUnsafe(ref b);
            Vector512<T> b1 = Vector512.LoadUnsafe(ref b, (nuint)Vector512<T>.Count);
            Vector512<T> x = Vector512.Create(a);
            s00 += x * b0;
            s01 += x * b1;
            x = Vector512.Create(Unsafe.Add(ref a, strideA));
            s10 += x * b0;
            s11 += x * b1;
            x = Vector512.Create(Unsafe.Add(ref a, 2 * strideA));
            s20 += x * b0;
            s21 += x * b1;
            x = Vector512.Create(Unsafe.Add(ref a, 3 * strideA));
            s30 += x * b0;
            s31 += x * b1;
            x = Vector512.Create(Unsafe.Add(ref a, 4 * strideA));
            s40 += x * b0;
            s41 += x * b1;
            x = Vector512.Create(Unsafe.Add(ref a, 5 * strideA));
            s50 += x * b0;
            s51 += x * b1;
            x = Vector512.Create(Unsafe.Add(ref a, 6 * strideA));
            s60 += x * b0;
            s61 += x * b1;
            x = Vector512.Create(Unsafe.Add(ref a, 7 * strideA));
            s70 += x * b0;
            s71 += x * b1;
            a = ref Unsafe.Add(ref a, depthStrideA);
            b = ref Unsafe.Add(ref b, strideB);
        }

        Vector512<T> signs = Vector512.Create(sign);
        Add512(ref c, s00 * signs, s01 * signs);
        Add512(ref Unsafe.Add(ref c, strideC), s10 * signs, s11 * signs);
        Add512(ref Unsafe.Add(ref c, 2 * strideC), s20 * signs, s21 * signs);
        Add512(ref Unsafe.Add(ref c, 3 * strideC), s30 * signs, s31 * signs);
        Add512(ref Unsafe.Add(ref c, 4 * strideC), s40 * signs, s41 * signs);
        Add512(ref Unsafe.Add(ref c, 5 * strideC), s50 * signs, s51 * signs);
        Add512(ref Unsafe.Add(ref c, 6 * strideC), s60 * signs, s61 * signs);
        Add512(ref Unsafe.Add(ref c, 7 * strideC), s70 * signs, s71 * signs);
    }

    private static void Row512<T>(ref T a, int depthStrideA, ref T b, int strideB, ref T c, int depth, T sign)
        where T : unmanaged, INumber<T>
    {
        Vector512<T> s0 = default, s1 = default;
        for (int d = 0; d < depth; d++)
        {
            Vector512<T> x = Vector512.Create(a);
            s0 += x * Vector512.LoadUnsafe(ref b);
            s1 += x * Vector512.LoadUnsafe(ref b, (nuint)Vector512<T>.Count);
            a = ref Unsafe.Add(ref a, depthStrideA);
            b = ref Unsafe.Add(ref b, strideB);
        }

        Vector512<T> signs = Vector512.Create(sign);
        Add512(ref c, s0 * signs, s1 * signs);
    }

    /// <summary>4 rows by 2 vectors in 8 registers of 16.</summary>
    private static void Tile256<T>(ref T a, int depthStrideA, int strideA, ref T b, int strideB, ref T c, int strideC, int depth, T sign)
        where T : unmanaged, INumber<T>
    {
        Vector256<T> s00 = default, s01 = default, s10 = default, s11 = default, s20 = default, s21 = default, s30 = default, s31 = default;
        for (int d = 0; d < depth; d++)
        {
            Vector256<T> b0 = Vector256.LoadUnsafe(ref b);
            Vector256<T> b1 = Vector256.LoadUnsafe(ref b, (nuint)Vector256<T>.Count);
            Vector256<T> x = Vector256.Create(a);
            s00 += x * b0;
            s01 += x * b1;
            x = Vector256.Create(Unsafe.Add(ref a, strideA));
            s10 += x * b0;
            s11 += x * b1;
            x = Vector256.Create(Unsafe.Add(ref a, 2 * strideA));
            s20 += x * b0;
            s21 += x * b1;
            x = Vector256.Create(Unsafe.Add(ref a, 3 * strideA));
            s30 += x * b0;
            s31 += x * b1;
            a = ref Unsafe.Add(ref a, depthStrideA);
            b = ref Unsafe.Add(ref b, strideB);
        }

        Vector256<T> signs = Vector256.Create(sign);
        Add256(ref c, s00 * signs, s01 * signs);
        Add256(ref Unsafe.Add(ref c, strideC), s10 * signs, s11 * signs);
        Add256(ref Unsafe.Add(ref c, 2 * strideC), s20 * signs, s21 * signs);
        Add256(ref Unsafe.Add(ref c, 3 * strideC), s30 * signs, s31 * signs);
    }

    private static void Row256<T>(ref T a, int depthStrideA, ref T b, int strideB, ref T c, int depth, T sign)
        where T : unmanaged, INumber<T>
    {
        Vector256<T> s0 = default, s1 = default;
        for (int d = 0; d < depth; d++)
        {
            Vector256<T> x = Vector256.Create(a);
            s0 += x * Vector256.LoadUnsafe(ref b);
            s1 += x * Vector256.LoadUnsafe(ref b, (nuint)Vector256<T>.Count);
            a = ref Unsafe.Add(ref a, depthStrideA);
            b = ref Unsafe.Add(ref b, strideB);
        }

        Vector256<T> signs = Vector256.Create(sign);
        Add256(ref c, s0 * signs, s1 * signs);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add512<T>(ref T c, Vector512<T> s0, Vector512<T> s1)
        where T : unmanaged, INumber<T>
    {
        (Vector512.LoadUnsafe(ref c) + s0).StoreUnsafe(ref c);
        (Vector512.LoadUnsafe(ref c, (nuint)Vector512<T>.Count) + s1).StoreUnsafe(ref c, (nuint)Vector512<T>.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add256<T>(ref T c, Vector256<T> s0, Vector256<T> s1)
        where T : unmanaged, INumber<T>
    {
        (Vector256.LoadUnsafe(ref c) + s0).StoreUnsafe(ref c);
        (Vector256.LoadUnsafe(ref c, (nuint)Vector256<T>.Count) + s1).StoreUnsafe(ref c, (nuint)Vector256<T>.Count);
    }
}
