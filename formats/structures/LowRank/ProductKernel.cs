using System.Numerics;
using System.Runtime.InteropServices;

namespace ModelPack.Structures;

/// <summary>The one loop under products of components.</summary>
internal static class ProductKernel
{
    /// <summary>
    /// c[i, k] = ((c[i, k] + b[i, 0] a[0, k]) + b[i, 1] a[1, k]) + ..., every product and every sum rounded to f32 on its own. Lanes run along k, so values do not depend on the width of vectors or on how c is cut into tiles.
    /// </summary>
    /// <param name="b">[rows, depth] with a stride.</param>
    /// <param name="strideB">Elements from row to row.</param>
    /// <param name="a">[depth, columns] with a stride.</param>
    /// <param name="strideA">Elements from row to row.</param>
    /// <param name="c">[rows, columns], contiguous.</param>
    /// <param name="rows">Rows of c.</param>
    /// <param name="depth">Products per element.</param>
    /// <param name="columns">Columns of c.</param>
    public static void Add(ReadOnlySpan<float> b, int strideB, ReadOnlySpan<float> a, int strideA, Span<float> c, int rows, int depth, int columns)
    {
        if (rows == 0 || depth == 0 || columns == 0)
        {
            return;
        }

        _ = a[((depth - 1) * strideA) + columns - 1];
        _ = c[(rows * columns) - 1];
        ref float from = ref MemoryMarshal.GetReference(a);
        ref float to = ref MemoryMarshal.GetReference(c);
        int step = Vector<float>.Count;
        for (int i = 0; i < rows; i++)
        {
            ReadOnlySpan<float> factors = b.Slice(i * strideB, depth);
            nuint start = (nuint)(i * (long)columns);
            int k = 0;
            for (; k + (4 * step) <= columns; k += 4 * step)
            {
                nuint at = start + (nuint)k;
                Vector<float> s0 = Vector.LoadUnsafe(ref to, at);
                Vector<float> s1 = Vector.LoadUnsafe(ref to, at + (nuint)step);
                Vector<float> s2 = Vector.LoadUnsafe(ref to, at + (nuint)(2 * step));
                Vector<float> s3 = Vector.LoadUnsafe(ref to, at + (nuint)(3 * step));
                nuint right = (nuint)k;
                for (int j = 0; j < factors.Length; j++)
                {
                    var x = new Vector<float>(factors[j]);
                    s0 += x * Vector.LoadUnsafe(ref from, right);
                    s1 += x * Vector.LoadUnsafe(ref from, right + (nuint)step);
                    s2 += x * Vector.LoadUnsafe(ref from, right + (nuint)(2 * step));
                    s3 += x * Vector.LoadUnsafe(ref from, right + (nuint)(3 * step));
                    right += (nuint)strideA;
                }

                Vector.StoreUnsafe(s0, ref to, at);
                Vector.StoreUnsafe(s1, ref to, at + (nuint)step);
                Vector.StoreUnsafe(s2, ref to, at + (nuint)(2 * step));
                Vector.StoreUnsafe(s3, ref to, at + (nuint)(3 * step));
            }

            Span<float> rest = c.Slice(i * columns, columns);
            for (; k < columns; k++)
            {
                float sum = rest[k];
                for (int j = 0; j < factors.Length; j++)
                {
                    sum += factors[j] * a[(j * strideA) + k];
                }

                rest[k] = sum;
            }
        }
    }
}
