using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Compiler.Linear;

/// <summary>
/// Sums and rotations of vectors of doubles with a fixed number of logical lanes (8 or 16) and a fixed order: lanes are added in pairs at a distance of 8, 4, 2, 1, and what does not fill all lanes is added one by
/// one at the end. So results are the same bits on every instruction set.
/// </summary>
public static class VectorMath
{
    private const int Lanes = 16;

    /// <summary>sum of a[i] b[i].</summary>
    public static double Dot(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        int length = Math.Min(a.Length, b.Length);
        ref double x = ref MemoryMarshal.GetReference(a);
        ref double y = ref MemoryMarshal.GetReference(b);
        Vector512<double> low = default;
        Vector512<double> high = default;
        int i = 0;
        for (; i + Lanes <= length; i += Lanes)
        {
            low += Vector512.LoadUnsafe(ref x, (nuint)i) * Vector512.LoadUnsafe(ref y, (nuint)i);
            high += Vector512.LoadUnsafe(ref x, (nuint)i + 8) * Vector512.LoadUnsafe(ref y, (nuint)i + 8);
        }

        double sum = Sum(low + high);
        for (; i < length; i++)
        {
            sum += a[i] * b[i];
        }

        return sum;
    }

    /// <summary>The products of two vectors with themselves and each other: (a a, b b, a b).</summary>
    public static (double A, double B, double Both) Products(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        int length = Math.Min(a.Length, b.Length);
        ref double x = ref MemoryMarshal.GetReference(a);
        ref double y = ref MemoryMarshal.GetReference(b);
        Vector512<double> aa = default;
        Vector512<double> bb = default;
        Vector512<double> ab = default;
        int i = 0;
        for (; i + 8 <= length; i += 8)
        {
            Vector512<double> p = Vector512.LoadUnsafe(ref x, (nuint)i);
            Vector512<double> q = Vector512.LoadUnsafe(ref y, (nuint)i);
            aa += p * p;
            bb += q * q;
            ab += p * q;
        }

        (double sumA, double sumB, double sum) = (Sum(aa), Sum(bb), Sum(ab));
        for (; i < length; i++)
        {
            sumA += a[i] * a[i];
            sumB += b[i] * b[i];
            sum += a[i] * b[i];
        }

        return (sumA, sumB, sum);
    }

    /// <summary>target[i] += factor source[i].</summary>
    public static void AddScaled(ReadOnlySpan<double> source, double factor, Span<double> target)
    {
        int length = Math.Min(source.Length, target.Length);
        ref double x = ref MemoryMarshal.GetReference(source);
        ref double y = ref MemoryMarshal.GetReference(target);
        Vector512<double> f = Vector512.Create(factor);
        int i = 0;
        for (; i + 8 <= length; i += 8)
        {
            (Vector512.LoadUnsafe(ref y, (nuint)i) + (Vector512.LoadUnsafe(ref x, (nuint)i) * f)).StoreUnsafe(ref y, (nuint)i);
        }

        for (; i < length; i++)
        {
            target[i] += source[i] * factor;
        }
    }

    /// <summary>a, b = c a - s b, s a + c b.</summary>
    public static void Rotate(Span<double> a, Span<double> b, double c, double s)
    {
        int length = Math.Min(a.Length, b.Length);
        ref double x = ref MemoryMarshal.GetReference(a);
        ref double y = ref MemoryMarshal.GetReference(b);
        Vector512<double> cosine = Vector512.Create(c);
        Vector512<double> sine = Vector512.Create(s);
        int i = 0;
        for (; i + 8 <= length; i += 8)
        {
            Vector512<double> p = Vector512.LoadUnsafe(ref x, (nuint)i);
            Vector512<double> q = Vector512.LoadUnsafe(ref y, (nuint)i);
            ((cosine * p) - (sine * q)).StoreUnsafe(ref x, (nuint)i);
            ((sine * p) + (cosine * q)).StoreUnsafe(ref y, (nuint)i);
        }

        for (; i < length; i++)
        {
            (a[i], b[i]) = ((c * a[i]) - (s * b[i]), (s * a[i]) + (c * b[i]));
        }
    }

    private static double Sum(Vector512<double> v)
    {
        Vector256<double> four = v.GetLower() + v.GetUpper();
        Vector128<double> two = four.GetLower() + four.GetUpper();
        return two[0] + two[1];
    }
}
