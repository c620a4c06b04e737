using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Runtime.Evaluation;

/// <summary>log(sum(exp(x))) over a row of logits, in double precision.</summary>
internal static class LogSumExp
{
    /// <remarks>Eight double lanes per step; the tail is scalar. Equals max + log(sum of exp(x - max)).</remarks>
    public static double Of(ReadOnlySpan<float> row)
    {
        float max = float.NegativeInfinity;
        foreach (float x in row)
        {
            max = MathF.Max(max, x);
        }

        if (!float.IsFinite(max))
        {
            return max; // NaN stays NaN; all minus infinity has no mass.
        }

        Vector512<double> shift = Vector512.Create((double)max);
        Vector512<double> sums = Vector512<double>.Zero;
        ref float start = ref MemoryMarshal.GetReference(row);
        int i = 0;
        for (; i <= row.Length - Vector256<float>.Count; i += Vector256<float>.Count)
        {
            Vector256<float> x = Vector256.LoadUnsafe(ref start, (nuint)i);
            (Vector256<double> low, Vector256<double> high) = Vector256.Widen(x);
            sums += Vector512.Exp(Vector512.Create(low, high) - shift);
        }

        double sum = Vector512.Sum(sums);
        for (; i < row.Length; i++)
        {
            sum += Math.Exp(Unsafe.Add(ref start, i) - (double)max);
        }

        return max + Math.Log(sum);
    }
}
