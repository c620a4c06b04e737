using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>The search of scales with minima.</summary>
internal static partial class KQuantLanes<TLanes>
{
    /// <summary>
    /// As <see cref="KQuantSearch.ScaleAndMinimum"/> with weights transposed like the values. Codes are nearest(inverse x (value - base)), clamped.
    /// </summary>
    /// <param name="transposed">16 sub-blocks of <paramref name="size"/> values.</param>
    /// <param name="weights">Theirs.</param>
    /// <param name="scratch">As many, for codes.</param>
    /// <param name="size">Values of a sub-block.</param>
    /// <param name="maxCode">15 for codes of 4 bits.</param>
    /// <param name="scales">Receives 16 scales.</param>
    /// <param name="minima">Receives 16 negated minima.</param>
    /// <param name="inverses">Receives what differences are multiplied with.</param>
    /// <param name="bases">Receives what is subtracted from values.</param>
    public static void ScalesAndMinima(
        ReadOnlySpan<float> transposed, ReadOnlySpan<float> weights, Span<float> scratch, int size, int maxCode, Span<float> scales, Span<float> minima, Span<float> inverses, Span<float> bases)
    {
        ref float x = ref MemoryMarshal.GetReference(transposed[..(16 * size)]);
        ref float w = ref MemoryMarshal.GetReference(weights[..(16 * size)]);
        ref float codes = ref MemoryMarshal.GetReference(scratch[..(16 * size)]);
        Statistics statistics = Gather(ref x, ref w, size);
        TLanes flatMinimum = TLanes.Select(TLanes.GreaterFloat(statistics.Smallest, default), default, statistics.Smallest);
        TLanes varied = TLanes.GreaterFloat(statistics.Largest, flatMinimum);
        Fitted best = Start(ref x, ref w, ref codes, size, maxCode, flatMinimum, statistics.Largest);
        for (int step = 0; step <= 20; step++)
        {
            Try(ref x, ref w, ref codes, size, maxCode, step, varied, statistics, ref best);
        }

        TLanes.Store(TLanes.Select(varied, best.Scale, default), ref MemoryMarshal.GetReference(scales[..16]));
        TLanes.Store(TLanes.Subtract(default, TLanes.Select(varied, best.Minimum, flatMinimum)), ref MemoryMarshal.GetReference(minima[..16]));
        TLanes.Store(TLanes.Select(varied, best.Inverse, default), ref MemoryMarshal.GetReference(inverses[..16]));
        TLanes.Store(TLanes.Select(varied, best.Base, default), ref MemoryMarshal.GetReference(bases[..16]));
    }

    /// <summary>Range and weighted sums of the sub-blocks.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Statistics Gather(ref float x, ref float w, int size)
    {
        TLanes min = TLanes.Load(in x);
        TLanes max = min;
        TLanes sumW = TLanes.Load(in w);
        TLanes sumX = TLanes.Multiply(sumW, min);
        for (int i = 16; i < 16 * size; i += 16)
        {
            TLanes value = TLanes.Load(in Unsafe.Add(ref x, i));
            TLanes weight = TLanes.Load(in Unsafe.Add(ref w, i));
            min = TLanes.Select(TLanes.GreaterFloat(min, value), value, min);
            max = TLanes.Select(TLanes.GreaterFloat(value, max), value, max);
            sumW = TLanes.Add(sumW, weight);
            sumX = TLanes.Add(sumX, TLanes.Multiply(weight, value));
        }

        return new Statistics(min, max, sumW, sumX);
    }

    /// <summary>The codes of the whole range, from which the search starts.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Fitted Start(ref float x, ref float w, ref float codes, int size, int maxCode, TLanes min, TLanes max)
    {
        TLanes inverse = TLanes.Divide(TLanes.Create(maxCode), TLanes.Subtract(max, min));
        TLanes scale = TLanes.Divide(TLanes.Create(1f), inverse);
        for (int i = 0; i < 16 * size; i += 16)
        {
            TLanes.Store(Code(TLanes.Load(in Unsafe.Add(ref x, i)), inverse, min, maxCode), ref Unsafe.Add(ref codes, i));
        }

        return new Fitted(Error(ref x, ref w, ref codes, size, scale, min), scale, min, inverse, min);
    }

    /// <summary>A step of the search. Methods of their own, here and below: the compiler stops inlining where one method has too much of it.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Try(ref float x, ref float w, ref float codes, int size, int maxCode, int step, TLanes varied, in Statistics all, ref Fitted best)
    {
        TLanes min = best.Minimum;
        float offset = 0.1f * step;

        // Lanes that do not vary are not used, and would divide by 0.
        TLanes inverse = TLanes.Select(varied, TLanes.Divide(TLanes.Create(-1f + offset + maxCode), TLanes.Subtract(all.Largest, min)), default);
        Sums sums = AreSmall(all.Smallest, all.Largest, min, inverse)
            ? Fit(ref x, ref w, ref codes, size, inverse, min, maxCode)
            : FitLarge(ref x, ref w, ref codes, size, inverse, min, maxCode);
        TLanes determinant = TLanes.Subtract(TLanes.Multiply(all.SumW, sums.L2), TLanes.Multiply(sums.L, sums.L));
        TLanes scale = TLanes.Divide(TLanes.Subtract(TLanes.Multiply(all.SumW, sums.XL), TLanes.Multiply(all.SumX, sums.L)), determinant);
        TLanes minimum = TLanes.Divide(TLanes.Subtract(TLanes.Multiply(sums.L2, all.SumX), TLanes.Multiply(sums.L, sums.XL)), determinant);
        TLanes positive = TLanes.GreaterFloat(minimum, default);
        minimum = TLanes.Select(positive, default, minimum);
        scale = TLanes.Select(positive, TLanes.Divide(sums.XL, sums.L2), scale);
        TLanes error = Error(ref x, ref w, ref codes, size, scale, minimum);
        TLanes better = TLanes.And(TLanes.GreaterFloat(determinant, default), TLanes.GreaterFloat(best.Error, error));

        // The next steps measure from the new minimum, as ggml's do.
        best = new Fitted(
            TLanes.Select(better, error, best.Error),
            TLanes.Select(better, scale, best.Scale),
            TLanes.Select(better, minimum, min),
            TLanes.Select(better, inverse, best.Inverse),
            TLanes.Select(better, min, best.Base));
    }

    /// <summary>True when all quotients are far from where adding 1.5 x 2^23 stops rounding to integers; minima that moved may bring them there.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool AreSmall(TLanes smallest, TLanes largest, TLanes minimum, TLanes inverse)
    {
        TLanes magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        TLanes reach = TLanes.Max(TLanes.And(TLanes.Subtract(smallest, minimum), magnitudeMask), TLanes.And(TLanes.Subtract(largest, minimum), magnitudeMask));
        return TLanes.SignBits(TLanes.GreaterFloat(TLanes.Create(1 << 20), TLanes.Multiply(reach, TLanes.And(inverse, magnitudeMask)))) == 0xFFFF;
    }

    /// <summary>Codes of a step, stored, and the sums over them.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Sums Fit(ref float x, ref float w, ref float codes, int size, TLanes inverse, TLanes min, int maxCode)
    {
        TLanes highest = TLanes.Create(maxCode);
        TLanes sumL = default;
        TLanes sumL2 = default;
        TLanes sumXL = default;
        for (int i = 0; i < 16 * size; i += 16)
        {
            TLanes value = TLanes.Load(in Unsafe.Add(ref x, i));
            TLanes l = Rounded(TLanes.Multiply(inverse, TLanes.Subtract(value, min)), default, highest);
            TLanes.Store(l, ref Unsafe.Add(ref codes, i));
            TLanes wl = TLanes.Multiply(TLanes.Load(in Unsafe.Add(ref w, i)), l);
            sumL = TLanes.Add(sumL, wl);
            sumL2 = TLanes.Add(sumL2, TLanes.Multiply(wl, l));
            sumXL = TLanes.Add(sumXL, TLanes.Multiply(wl, value));
        }

        return new Sums(sumL, sumL2, sumXL);
    }

    /// <summary>As <see cref="Fit"/> for quotients of any size.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Sums FitLarge(ref float x, ref float w, ref float codes, int size, TLanes inverse, TLanes min, int maxCode)
    {
        TLanes sumL = default;
        TLanes sumL2 = default;
        TLanes sumXL = default;
        for (int i = 0; i < 16 * size; i += 16)
        {
            TLanes value = TLanes.Load(in Unsafe.Add(ref x, i));
            TLanes l = Code(value, inverse, min, maxCode);
            TLanes.Store(l, ref Unsafe.Add(ref codes, i));
            TLanes wl = TLanes.Multiply(TLanes.Load(in Unsafe.Add(ref w, i)), l);
            sumL = TLanes.Add(sumL, wl);
            sumL2 = TLanes.Add(sumL2, TLanes.Multiply(wl, l));
            sumXL = TLanes.Add(sumXL, TLanes.Multiply(wl, value));
        }

        return new Sums(sumL, sumL2, sumXL);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes Code(TLanes value, TLanes inverse, TLanes min, int maxCode) =>
        TLanes.IntToFloat(GgufLanes<TLanes>.Clamp(GgufLanes<TLanes>.Nearest(TLanes.Multiply(inverse, TLanes.Subtract(value, min))), 0, maxCode));

    /// <summary>The weighted squared error of codes that stand for scale x code + minimum.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static TLanes Error(ref float x, ref float w, ref float codes, int size, TLanes scale, TLanes minimum)
    {
        TLanes error = default;
        for (int i = 0; i < 16 * size; i += 16)
        {
            TLanes product = TLanes.Multiply(scale, TLanes.Load(in Unsafe.Add(ref codes, i)));
            TLanes difference = TLanes.Subtract(TLanes.Add(product, minimum), TLanes.Load(in Unsafe.Add(ref x, i)));
            error = TLanes.Add(error, TLanes.Multiply(TLanes.Load(in Unsafe.Add(ref w, i)), TLanes.Multiply(difference, difference)));
        }

        return error;
    }

    /// <summary>Range and weighted sums.</summary>
    private readonly record struct Statistics(TLanes Smallest, TLanes Largest, TLanes SumW, TLanes SumX);

    /// <summary>Weighted sums of codes, their squares, and their products with values.</summary>
    private readonly record struct Sums(TLanes L, TLanes L2, TLanes XL);

    /// <summary>The best so far: its error, what codes stand for, and how values became codes.</summary>
    private readonly record struct Fitted(TLanes Error, TLanes Scale, TLanes Minimum, TLanes Inverse, TLanes Base);
}
