using System.Runtime.CompilerServices;

namespace ModelPack.Kernels;

/// <summary>Multiplications and additions in f32 as fast as one core makes them: what products are measured against.</summary>
public static unsafe class PeakArithmetic
{
    /// <summary>Enough sums that none waits for the one before.</summary>
    private const int Sums = 12;

    private static float s_sink;

    /// <summary>Works for a while.</summary>
    /// <param name="tier">On which instruction set.</param>
    /// <param name="steps">How long.</param>
    /// <returns>Operations that were done: two per multiplication.</returns>
    public static double Run(KernelTier tier, int steps) => tier switch
    {
        KernelTier.Avx512 => Run<Simd512>(steps),
        KernelTier.Avx2 => Run<Simd256>(steps),
        _ => Run<Simd128>(steps),
    };

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static double Run<TSimd>(int steps)
        where TSimd : struct, ISimd<TSimd>
    {
        TSimd x = TSimd.Create(0.5f);
        TSimd a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x, k = x, l = x;
        for (int step = 0; step < steps; step++)
        {
            a = TSimd.MultiplyAdd(a, x, x);
            b = TSimd.MultiplyAdd(b, x, x);
            c = TSimd.MultiplyAdd(c, x, x);
            d = TSimd.MultiplyAdd(d, x, x);
            e = TSimd.MultiplyAdd(e, x, x);
            f = TSimd.MultiplyAdd(f, x, x);
            g = TSimd.MultiplyAdd(g, x, x);
            h = TSimd.MultiplyAdd(h, x, x);
            i = TSimd.MultiplyAdd(i, x, x);
            j = TSimd.MultiplyAdd(j, x, x);
            k = TSimd.MultiplyAdd(k, x, x);
            l = TSimd.MultiplyAdd(l, x, x);
        }

        TSimd sum = TSimd.Add(TSimd.Add(TSimd.Add(a, b), TSimd.Add(c, d)), TSimd.Add(TSimd.Add(e, f), TSimd.Add(g, h)));
        float* last = stackalloc float[TSimd.Count];
        TSimd.Store(TSimd.Add(sum, TSimd.Add(TSimd.Add(i, j), TSimd.Add(k, l))), last);
        s_sink = last[0];
        return 2.0 * Sums * TSimd.Count * steps;
    }
}
