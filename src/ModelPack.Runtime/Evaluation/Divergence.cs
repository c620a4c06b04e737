using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Runtime.Evaluation;

/// <summary>Kullback-Leibler divergence of one distribution over words from another, both given as logits.</summary>
internal static class Divergence
{
    /// <summary>As the other overload, which takes what is known of the logits already.</summary>
    public static double Of(ReadOnlySpan<float> reference, ReadOnlySpan<float> logits) => Of(reference, LogSumExp.Of(reference), logits, LogSumExp.Of(logits));

    /// <summary>sum of p log(p / q) in nats, p and q being the softmax of the reference's and the model's logits; at least 0 but for rounding, NaN when a logit is.</summary>
    /// <param name="reference">[vocabulary] logits of the reference.</param>
    /// <param name="first">log sum exp of these.</param>
    /// <param name="logits">[vocabulary] logits of the model.</param>
    /// <param name="second">log sum exp of these.</param>
    /// <remarks>Equal to log sum exp(b) - log sum exp(a) + sum of p (a - b). Eight double lanes per step; the tail is scalar.</remarks>
    public static double Of(ReadOnlySpan<float> reference, double first, ReadOnlySpan<float> logits, double second)
    {
        Vector512<double> shift = Vector512.Create(first);
        Vector512<double> sums = Vector512<double>.Zero;
        ref float a = ref MemoryMarshal.GetReference(reference);
        ref float b = ref MemoryMarshal.GetReference(logits);
        int i = 0;
        for (; i <= reference.Length - Vector256<float>.Count; i += Vector256<float>.Count)
        {
            Vector512<double> x = Widen(Vector256.LoadUnsafe(ref a, (nuint)i));
            sums += Vector512.Exp(x - shift) * (x - Widen(Vector256.LoadUnsafe(ref b, (nuint)i)));
        }

        double sum = Vector512.Sum(sums);
        for (; i < reference.Length; i++)
        {
            double x = Unsafe.Add(ref a, i);
            sum += Math.Exp(x - first) * (x - Unsafe.Add(ref b, i));
        }

        return sum + second - first;
    }

    private static Vector512<double> Widen(Vector256<float> values)
    {
        (Vector256<double> low, Vector256<double> high) = Vector256.Widen(values);
        return Vector512.Create(low, high);
    }
}
