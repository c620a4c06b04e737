using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// Activations in f32 vectors. exp(x) = 2^n exp(r) with |r| &lt;= ln 2 / 2 and a polynomial of degree 6 (Cephes, Moshier: relative error 2e-7), erf by five terms times exp(-x^2) (Abramowitz and Stegun 7.1.26, absolute error
/// 1.5e-7). NaN stays NaN; below -87 and above 88 exp is that of the limit.
/// </summary>
internal static unsafe class Activations<TSimd>
    where TSimd : struct, ISimd<TSimd>
{
    /// <summary>values[i] = f(values[i]), times factors[i] where there are factors.</summary>
    /// <param name="activation">f.</param>
    /// <param name="values">[count] in and out.</param>
    /// <param name="factors">[count]; null for none.</param>
    /// <param name="count">A multiple of 16.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(Activation activation, float* values, float* factors, int count)
    {
        for (int i = 0; i < count; i += TSimd.Count)
        {
            TSimd x = TSimd.Load(values + i);
            TSimd y = activation switch
            {
                Activation.Relu => TSimd.Max(TSimd.Zero, x),
                Activation.Silu => TSimd.Multiply(x, Sigmoid(x)),
                Activation.Gelu => Gelu(x),
                Activation.GeluTanh => GeluTanh(x),
                Activation.HardSwish => TSimd.Multiply(x, TSimd.Max(TSimd.Zero, TSimd.Min(TSimd.Create(1f), TSimd.MultiplyAdd(x, TSimd.Create(1f / 6), TSimd.Create(0.5f))))),
                _ => x,
            };
            TSimd.Store(factors == null ? y : TSimd.Multiply(y, TSimd.Load(factors + i)), values + i);
        }
    }

    /// <summary>1 / (1 + exp(-x)).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TSimd Sigmoid(TSimd x)
    {
        TSimd one = TSimd.Create(1f);
        return TSimd.Divide(one, TSimd.Add(one, Exp(TSimd.Subtract(TSimd.Zero, x))));
    }

    /// <summary>(1 + tanh(u)) / 2 is 1 / (1 + exp(-2 u)).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TSimd GeluTanh(TSimd x)
    {
        TSimd inner = TSimd.MultiplyAdd(TSimd.Multiply(TSimd.Create(0.044715f), x), TSimd.Multiply(x, x), x);
        return TSimd.Multiply(x, Sigmoid(TSimd.Multiply(TSimd.Create(1.5957691216057308f), inner)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TSimd Gelu(TSimd x)
    {
        // With z = |x| / sqrt 2, t = 1 / (1 + p z) and the five terms s: 1 - erf(z) = s exp(-z^2), so that x (1 + erf) / 2 is max(0, x) less |x| / 2 times that, for either sign.
        TSimd one = TSimd.Create(1f);
        TSimd size = TSimd.Max(x, TSimd.Subtract(TSimd.Zero, x));
        TSimd z = TSimd.Multiply(size, TSimd.Create(0.70710678118654752f));
        TSimd t = TSimd.Divide(one, TSimd.MultiplyAdd(TSimd.Create(0.3275911f), z, one));
        TSimd s = TSimd.Create(1.061405429f);
        s = TSimd.MultiplyAdd(s, t, TSimd.Create(-1.453152027f));
        s = TSimd.MultiplyAdd(s, t, TSimd.Create(1.421413741f));
        s = TSimd.MultiplyAdd(s, t, TSimd.Create(-0.284496736f));
        s = TSimd.MultiplyAdd(s, t, TSimd.Create(0.254829592f));
        TSimd rest = TSimd.Multiply(TSimd.Multiply(s, t), Exp(TSimd.Subtract(TSimd.Zero, TSimd.Multiply(z, z))));
        return TSimd.Subtract(TSimd.Max(TSimd.Zero, x), TSimd.Multiply(TSimd.Multiply(TSimd.Create(0.5f), size), rest));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TSimd Exp(TSimd x)
    {
        // The constant comes second: a NaN of the first operand is lost by some instructions, one of the second is what is returned.
        x = TSimd.Max(TSimd.Create(-87f), TSimd.Min(TSimd.Create(88f), x));

        // Adding 1.5 x 2^23 leaves n as an integer in the low bits of the sum.
        TSimd magic = TSimd.Create(12582912f);
        TSimd shifted = TSimd.MultiplyAdd(x, TSimd.Create(1.44269504088896341f), magic);
        TSimd n = TSimd.Subtract(shifted, magic);
        TSimd r = TSimd.MultiplyAdd(n, TSimd.Create(-0.693359375f), x);
        r = TSimd.MultiplyAdd(n, TSimd.Create(2.12194440e-4f), r);
        TSimd p = TSimd.Create(1.9875691500e-4f);
        p = TSimd.MultiplyAdd(p, r, TSimd.Create(1.3981999507e-3f));
        p = TSimd.MultiplyAdd(p, r, TSimd.Create(8.3334519073e-3f));
        p = TSimd.MultiplyAdd(p, r, TSimd.Create(4.1665795894e-2f));
        p = TSimd.MultiplyAdd(p, r, TSimd.Create(1.6666665459e-1f));
        p = TSimd.MultiplyAdd(p, r, TSimd.Create(5.0000001201e-1f));
        p = TSimd.Add(TSimd.MultiplyAdd(p, TSimd.Multiply(r, r), r), TSimd.Create(1f));
        return TSimd.AddIntegers(p, TSimd.ShiftLeft(shifted, 23));
    }
}

/// <summary>Activations on any instruction set.</summary>
public static unsafe class ActivationKernels
{
    private const int Vector = 16;

    private static readonly (string Name, Activation Activation)[] s_names =
        [("relu", Activation.Relu), ("silu", Activation.Silu), ("gelu", Activation.Gelu), ("gelu_tanh", Activation.GeluTanh), ("hardswish", Activation.HardSwish)];

    /// <summary>The activation of a name as operators write it; <see cref="Activation.None"/> for others.</summary>
    public static Activation Find(string? name) => Array.Find(s_names, n => n.Name == name).Activation;

    /// <summary>values[i] = f(values[i]).</summary>
    /// <param name="tier">Instruction set.</param>
    /// <param name="activation">f.</param>
    /// <param name="values">[count] in and out.</param>
    /// <param name="count">Any number.</param>
    public static void Run(KernelTier tier, Activation activation, float* values, int count)
    {
        int whole = count & -Vector;
        Run(tier, activation, values, null, whole);
        if (whole < count)
        {
            float* rest = stackalloc float[Vector];
            new Span<float>(rest, Vector).Clear();
            new ReadOnlySpan<float>(values + whole, count - whole).CopyTo(new Span<float>(rest, Vector));
            Run(tier, activation, rest, null, Vector);
            new ReadOnlySpan<float>(rest, count - whole).CopyTo(new Span<float>(values + whole, count - whole));
        }
    }

    /// <summary>values[i] = f(values[i]), times factors[i] where there are factors.</summary>
    /// <param name="tier">Instruction set.</param>
    /// <param name="activation">f.</param>
    /// <param name="values">[count] in and out.</param>
    /// <param name="factors">[count]; null for none.</param>
    /// <param name="count">A multiple of 16.</param>
    public static void Run(KernelTier tier, Activation activation, float* values, float* factors, int count)
    {
        switch (tier)
        {
            case KernelTier.Avx512:
                Activations<Simd512>.Run(activation, values, factors, count);
                break;
            case KernelTier.Avx2:
                Activations<Simd256>.Run(activation, values, factors, count);
                break;
            default:
                Activations<Simd128>.Run(activation, values, factors, count);
                break;
        }
    }
}
