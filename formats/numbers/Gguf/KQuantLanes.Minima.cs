using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>The search of scales with minima.</summary>
internal static partial class KQuantLanes<TLanes>
{
    /// <summary>
    /// As <see cref="KQuantSearch.ScaleAndMinimum"/> with weights transposed like the values. Codes are nearest(inverse x (value - base)), clamped. Two groups of 16 sub-blocks go through every loop
    /// together: a step needs the one before it, and each group fills the time that the other's sums and quotients take.
    /// </summary>
    /// <param name="transposed">Two groups of 16 sub-blocks of <paramref name="size"/> values.</param>
    /// <param name="weights">Theirs.</param>
    /// <param name="scratch">As many, for codes.</param>
    /// <param name="size">Values of a sub-block.</param>
    /// <param name="maxCode">15 for codes of 4 bits.</param>
    /// <param name="scales">Receives 32 scales.</param>
    /// <param name="minima">Receives 32 negated minima.</param>
    /// <param name="inverses">Receives what differences are multiplied with.</param>
    /// <param name="bases">Receives what is subtracted from values.</param>
    public static void ScalesAndMinima(
        ReadOnlySpan<float> transposed, ReadOnlySpan<float> weights, Span<float> scratch, int size, int maxCode, Span<float> scales, Span<float> minima, Span<float> inverses, Span<float> bases)
    {
        int group = 16 * size;
        ref float x = ref MemoryMarshal.GetReference(transposed[..(2 * group)]);
        ref float w = ref MemoryMarshal.GetReference(weights[..(2 * group)]);
        ref float codes = ref MemoryMarshal.GetReference(scratch[..(2 * group)]);
        Search a = Start(ref x, ref w, ref codes, size, maxCode);
        Search b = Start(ref Unsafe.Add(ref x, group), ref Unsafe.Add(ref w, group), ref Unsafe.Add(ref codes, group), size, maxCode);
        for (int step = 0; step <= 20; step++)
        {
            Try(ref x, ref w, ref codes, size, maxCode, step, ref a, ref b);
        }

        Store(a, scales[..16], minima[..16], inverses[..16], bases[..16]);
        Store(b, scales[16..32], minima[16..32], inverses[16..32], bases[16..32]);
    }

    private static void Store(in Search search, Span<float> scales, Span<float> minima, Span<float> inverses, Span<float> bases)
    {
        Fitted best = search.Best;
        TLanes.Store(TLanes.Select(search.Varied, best.Scale, default), ref MemoryMarshal.GetReference(scales));
        TLanes.Store(TLanes.Subtract(default, TLanes.Select(search.Varied, best.Minimum, search.FlatMinimum)), ref MemoryMarshal.GetReference(minima));
        TLanes.Store(TLanes.Select(search.Varied, best.Inverse, default), ref MemoryMarshal.GetReference(inverses));
        TLanes.Store(TLanes.Select(search.Varied, best.Base, default), ref MemoryMarshal.GetReference(bases));
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

    /// <summary>A group before the first step, with the codes of its whole range.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Search Start(ref float x, ref float w, ref float codes, int size, int maxCode)
    {
        Statistics all = Gather(ref x, ref w, size);
        TLanes min = TLanes.Select(TLanes.GreaterFloat(all.Smallest, default), default, all.Smallest);
        TLanes inverse = TLanes.Divide(TLanes.Create(maxCode), TLanes.Subtract(all.Largest, min));
        TLanes scale = TLanes.Divide(TLanes.Create(1f), inverse);
        TLanes error = default;
        for (int i = 0; i < 16 * size; i += 16)
        {
            TLanes value = TLanes.Load(in Unsafe.Add(ref x, i));
            error = TLanes.Add(error, WeightedSquare(value, TLanes.Load(in Unsafe.Add(ref w, i)), Code(value, inverse, min, maxCode), scale, min));
        }

        return new Search { All = all, FlatMinimum = min, Varied = TLanes.GreaterFloat(all.Largest, min), Best = new Fitted(error, scale, min, inverse, min) };
    }

    /// <summary>A step of the search. Methods of their own, here and below: the compiler stops inlining where one method has too much of it.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Try(ref float x, ref float w, ref float codes, int size, int maxCode, int step, ref Search a, ref Search b)
    {
        float offset = 0.1f * step;
        float range = -1f + offset + maxCode;
        TLanes inverseA = Inverse(a, range);
        TLanes inverseB = Inverse(b, range);
        Sums sumsA, sumsB;
        if (AreSmall(a, inverseA) && AreSmall(b, inverseB))
        {
            Fit(ref x, ref w, ref codes, size, maxCode, inverseA, a.Best.Minimum, inverseB, b.Best.Minimum, out sumsA, out sumsB);
        }
        else
        {
            int group = 16 * size;
            sumsA = FitLarge(ref x, ref w, ref codes, size, inverseA, a.Best.Minimum, maxCode);
            sumsB = FitLarge(ref Unsafe.Add(ref x, group), ref Unsafe.Add(ref w, group), ref Unsafe.Add(ref codes, group), size, inverseB, b.Best.Minimum, maxCode);
        }

        Line lineA = Solve(a.All, sumsA);
        Line lineB = Solve(b.All, sumsB);
        (TLanes errorA, TLanes errorB) = Error(ref x, ref w, ref codes, size, lineA, lineB);
        Keep(ref a.Best, inverseA, lineA, errorA);
        Keep(ref b.Best, inverseB, lineB, errorB);
    }

    /// <summary>What differences from the minimum are multiplied with. Lanes that do not vary are not used, and would divide by 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes Inverse(in Search search, float range) =>
        TLanes.Select(search.Varied, TLanes.Divide(TLanes.Create(range), TLanes.Subtract(search.All.Largest, search.Best.Minimum)), default);

    /// <summary>The scale and the minimum, not above 0, of least error for given codes.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Line Solve(in Statistics all, in Sums sums)
    {
        TLanes determinant = TLanes.Subtract(TLanes.Multiply(all.SumW, sums.L2), TLanes.Multiply(sums.L, sums.L));
        TLanes scale = TLanes.Divide(TLanes.Subtract(TLanes.Multiply(all.SumW, sums.XL), TLanes.Multiply(all.SumX, sums.L)), determinant);
        TLanes minimum = TLanes.Divide(TLanes.Subtract(TLanes.Multiply(sums.L2, all.SumX), TLanes.Multiply(sums.L, sums.XL)), determinant);
        TLanes positive = TLanes.GreaterFloat(minimum, default);
        if (TLanes.SignBits(positive) != 0)
        {
            scale = TLanes.Select(positive, TLanes.Divide(sums.XL, sums.L2), scale);
            minimum = TLanes.Select(positive, default, minimum);
        }

        return new Line(scale, minimum, TLanes.GreaterFloat(determinant, default));
    }

    /// <summary>The end of a step: lanes whose error became smaller move on. The next steps measure from the new minimum, as ggml's do.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Keep(ref Fitted best, TLanes inverse, in Line line, TLanes error)
    {
        TLanes better = TLanes.And(line.Exists, TLanes.GreaterFloat(best.Error, error));
        TLanes min = best.Minimum;
        best = new Fitted(
            TLanes.Select(better, error, best.Error),
            TLanes.Select(better, line.Scale, best.Scale),
            TLanes.Select(better, line.Minimum, min),
            TLanes.Select(better, inverse, best.Inverse),
            TLanes.Select(better, min, best.Base));
    }

    /// <summary>True when all quotients are far from where adding 1.5 x 2^23 stops rounding to integers; minima that moved may bring them there.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool AreSmall(in Search search, TLanes inverse)
    {
        (TLanes smallest, TLanes largest, TLanes minimum) = (search.All.Smallest, search.All.Largest, search.Best.Minimum);
        TLanes magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        TLanes reach = TLanes.Max(TLanes.And(TLanes.Subtract(smallest, minimum), magnitudeMask), TLanes.And(TLanes.Subtract(largest, minimum), magnitudeMask));
        return TLanes.SignBits(TLanes.GreaterFloat(TLanes.Create(1 << 20), TLanes.Multiply(reach, TLanes.And(inverse, magnitudeMask)))) == 0xFFFF;
    }

    /// <summary>Codes of a step, stored, and the sums over them.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Fit(
        ref float x, ref float w, ref float codes, int size, int maxCode, TLanes inverseA, TLanes minA, TLanes inverseB, TLanes minB, out Sums sumsA, out Sums sumsB)
    {
        TLanes highest = TLanes.Create(maxCode);
        TLanes sumLA = default, sumL2A = default, sumXLA = default;
        TLanes sumLB = default, sumL2B = default, sumXLB = default;
        int group = 16 * size;
        for (int i = 0; i < group; i += 16)
        {
            TLanes value = TLanes.Load(in Unsafe.Add(ref x, i));
            TLanes l = Rounded(TLanes.Multiply(inverseA, TLanes.Subtract(value, minA)), default, highest);
            TLanes.Store(l, ref Unsafe.Add(ref codes, i));
            TLanes wl = TLanes.Multiply(TLanes.Load(in Unsafe.Add(ref w, i)), l);
            sumLA = TLanes.Add(sumLA, wl);
            sumL2A = TLanes.Add(sumL2A, TLanes.Multiply(wl, l));
            sumXLA = TLanes.Add(sumXLA, TLanes.Multiply(wl, value));

            value = TLanes.Load(in Unsafe.Add(ref x, i + group));
            l = Rounded(TLanes.Multiply(inverseB, TLanes.Subtract(value, minB)), default, highest);
            TLanes.Store(l, ref Unsafe.Add(ref codes, i + group));
            wl = TLanes.Multiply(TLanes.Load(in Unsafe.Add(ref w, i + group)), l);
            sumLB = TLanes.Add(sumLB, wl);
            sumL2B = TLanes.Add(sumL2B, TLanes.Multiply(wl, l));
            sumXLB = TLanes.Add(sumXLB, TLanes.Multiply(wl, value));
        }

        sumsA = new Sums(sumLA, sumL2A, sumXLA);
        sumsB = new Sums(sumLB, sumL2B, sumXLB);
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

    /// <summary>The weighted squared errors of codes that stand for scale x code + minimum.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static (TLanes A, TLanes B) Error(ref float x, ref float w, ref float codes, int size, in Line lineA, in Line lineB)
    {
        TLanes scaleA = lineA.Scale, minimumA = lineA.Minimum, errorA = default;
        TLanes scaleB = lineB.Scale, minimumB = lineB.Minimum, errorB = default;
        int group = 16 * size;
        for (int i = 0; i < group; i += 16)
        {
            errorA = TLanes.Add(errorA, WeightedSquare(TLanes.Load(in Unsafe.Add(ref x, i)), TLanes.Load(in Unsafe.Add(ref w, i)), TLanes.Load(in Unsafe.Add(ref codes, i)), scaleA, minimumA));
            int j = i + group;
            errorB = TLanes.Add(errorB, WeightedSquare(TLanes.Load(in Unsafe.Add(ref x, j)), TLanes.Load(in Unsafe.Add(ref w, j)), TLanes.Load(in Unsafe.Add(ref codes, j)), scaleB, minimumB));
        }

        return (errorA, errorB);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes WeightedSquare(TLanes value, TLanes weight, TLanes code, TLanes scale, TLanes minimum)
    {
        TLanes difference = TLanes.Subtract(TLanes.Add(TLanes.Multiply(scale, code), minimum), value);
        return TLanes.Multiply(weight, TLanes.Multiply(difference, difference));
    }

    /// <summary>The search in a group of 16 sub-blocks.</summary>
    private struct Search
    {
        /// <summary>What does not change.</summary>
        public Statistics All;

        /// <summary>The minimum to begin with, and of sub-blocks that do not vary.</summary>
        public TLanes FlatMinimum;

        /// <summary>Mask of the others.</summary>
        public TLanes Varied;

        public Fitted Best;
    }

    /// <summary>Values as a function of codes.</summary>
    /// <param name="Scale">Per code.</param>
    /// <param name="Minimum">Of code 0.</param>
    /// <param name="Exists">Mask of lanes whose codes determine a line.</param>
    private readonly record struct Line(TLanes Scale, TLanes Minimum, TLanes Exists);

    /// <summary>Range and weighted sums.</summary>
    private readonly record struct Statistics(TLanes Smallest, TLanes Largest, TLanes SumW, TLanes SumX);

    /// <summary>Weighted sums of codes, their squares, and their products with values.</summary>
    private readonly record struct Sums(TLanes L, TLanes L2, TLanes XL);

    /// <summary>The best so far: its error, what codes stand for, and how values became codes.</summary>
    private readonly record struct Fitted(TLanes Error, TLanes Scale, TLanes Minimum, TLanes Inverse, TLanes Base);
}
