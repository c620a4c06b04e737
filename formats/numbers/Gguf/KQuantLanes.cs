using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>
/// The searches of <see cref="KQuantSearch"/> for 16 sub-blocks at once, one per lane: every lane adds up its own sums in the order of the values, so that its result is the same to the last bit.
/// Values come transposed: value i of sub-block j at 16i + j.
/// </summary>
internal static class KQuantLanes<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    private const float LeastGroup = 1e-15f;

    /// <summary>Transposes 16 sub-blocks of <paramref name="size"/> values.</summary>
    public static void Transpose(ReadOnlySpan<float> values, int size, Span<float> transposed)
    {
        ref float from = ref MemoryMarshal.GetReference(values[..(16 * size)]);
        ref float to = ref MemoryMarshal.GetReference(transposed[..(16 * size)]);
        for (int i = 0; i < size; i++)
        {
            for (int j = 0; j < 16; j++)
            {
                Unsafe.Add(ref to, (16 * i) + j) = Unsafe.Add(ref from, (size * j) + i);
            }
        }
    }

    /// <summary>As <see cref="KQuantSearch.SymmetricScale"/>. Codes are nearest(inverse x value), clamped, plus <paramref name="half"/>; for groups of (almost) zeros nothing but 0.</summary>
    [SkipLocalsInit]
    public static void SymmetricScales(ReadOnlySpan<float> transposed, int size, int half, Span<float> scales, Span<float> inverses)
    {
        ref float x = ref MemoryMarshal.GetReference(transposed[..(16 * size)]);
        TLanes magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        TLanes magnitude = default;
        TLanes max = default;
        for (int i = 0; i < size; i++)
        {
            TLanes value = TLanes.Load(in Unsafe.Add(ref x, 16 * i));
            TLanes absolute = TLanes.And(value, magnitudeMask);
            TLanes larger = TLanes.GreaterFloat(absolute, magnitude);
            magnitude = TLanes.Select(larger, absolute, magnitude);
            max = TLanes.Select(larger, value, max);
        }

        TLanes inverse = TLanes.Divide(TLanes.Create(-half), max);
        Sums(ref x, size, inverse, half, out TLanes sumXL, out TLanes sumL2);

        // 0 when there is nothing to divide by.
        TLanes divides = TLanes.GreaterInt(TLanes.And(sumL2, magnitudeMask), default);
        TLanes scale = TLanes.Select(divides, TLanes.Divide(sumXL, sumL2), default);
        TLanes best = TLanes.Multiply(scale, sumXL);
        TLanes bestInverse = inverse;
        for (int step = -9; step <= 9; step++)
        {
            if (step == 0)
            {
                continue;
            }

            float offset = 0.1f * step;
            inverse = TLanes.Divide(TLanes.Create(-(half + offset)), max);
            Sums(ref x, size, inverse, half, out sumXL, out sumL2);
            TLanes square = TLanes.Multiply(sumXL, sumXL);
            TLanes limit = TLanes.Multiply(best, sumL2);
            TLanes better = TLanes.And(TLanes.GreaterFloat(sumL2, default), TLanes.GreaterFloat(square, limit));
            TLanes thisScale = TLanes.Divide(sumXL, sumL2);
            scale = TLanes.Select(better, thisScale, scale);
            best = TLanes.Select(better, TLanes.Multiply(thisScale, sumXL), best);
            bestInverse = TLanes.Select(better, inverse, bestInverse);
        }

        TLanes small = TLanes.GreaterFloat(TLanes.Create(LeastGroup), magnitude);
        TLanes.Store(TLanes.Select(small, default, scale), ref MemoryMarshal.GetReference(scales[..16]));
        TLanes.Store(TLanes.Select(small, default, bestInverse), ref MemoryMarshal.GetReference(inverses[..16]));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Sums(ref float x, int size, TLanes inverse, int half, out TLanes sumXL, out TLanes sumL2)
    {
        TLanes xl = default;
        TLanes l2 = default;
        for (int i = 0; i < size; i++)
        {
            TLanes value = TLanes.Load(in Unsafe.Add(ref x, 16 * i));
            TLanes l = TLanes.IntToFloat(GgufLanes<TLanes>.Clamp(GgufLanes<TLanes>.Nearest(TLanes.Multiply(inverse, value)), -half, half - 1));
            TLanes w = TLanes.Multiply(value, value);
            xl = TLanes.Add(xl, TLanes.Multiply(TLanes.Multiply(w, value), l));
            l2 = TLanes.Add(l2, TLanes.Multiply(TLanes.Multiply(w, l), l));
        }

        sumXL = xl;
        sumL2 = l2;
    }

    /// <summary>
    /// As <see cref="KQuantSearch.ScaleAndMinimum"/> with weights transposed like the values. Codes are nearest(inverse x (value - base)), clamped.
    /// </summary>
    [SkipLocalsInit]
    public static void ScalesAndMinima(
        ReadOnlySpan<float> transposed, ReadOnlySpan<float> weights, int size, int maxCode, Span<float> scales, Span<float> minima, Span<float> inverses, Span<float> bases)
    {
        ref float x = ref MemoryMarshal.GetReference(transposed[..(16 * size)]);
        ref float w = ref MemoryMarshal.GetReference(weights[..(16 * size)]);
        TLanes min = TLanes.Load(in x);
        TLanes max = min;
        TLanes sumW = TLanes.Load(in w);
        TLanes sumX = TLanes.Multiply(sumW, min);
        for (int i = 1; i < size; i++)
        {
            TLanes value = TLanes.Load(in Unsafe.Add(ref x, 16 * i));
            TLanes weight = TLanes.Load(in Unsafe.Add(ref w, 16 * i));
            min = TLanes.Select(TLanes.GreaterFloat(min, value), value, min);
            max = TLanes.Select(TLanes.GreaterFloat(value, max), value, max);
            sumW = TLanes.Add(sumW, weight);
            sumX = TLanes.Add(sumX, TLanes.Multiply(weight, value));
        }

        min = TLanes.Select(TLanes.GreaterFloat(min, default), default, min);
        TLanes varied = TLanes.GreaterFloat(max, min);
        TLanes flatMinimum = min;
        TLanes inverse = TLanes.Divide(TLanes.Create(maxCode), TLanes.Subtract(max, min));
        TLanes scale = TLanes.Divide(TLanes.Create(1f), inverse);
        TLanes codesInverse = inverse;
        TLanes codesBase = min;
        Span<float> trial = stackalloc float[16 * size];
        ref float codes = ref MemoryMarshal.GetReference(trial);
        for (int i = 0; i < 16 * size; i += 16)
        {
            TLanes.Store(Code(TLanes.Load(in Unsafe.Add(ref x, i)), inverse, min, maxCode), ref Unsafe.Add(ref codes, i));
        }

        TLanes best = Error(ref x, ref w, ref codes, size, scale, min);
        for (int step = 0; step <= 20; step++)
        {
            float offset = 0.1f * step;
            inverse = TLanes.Divide(TLanes.Create(-1f + offset + maxCode), TLanes.Subtract(max, min));
            TLanes sumL = default;
            TLanes sumL2 = default;
            TLanes sumXL = default;
            for (int i = 0; i < size; i++)
            {
                TLanes value = TLanes.Load(in Unsafe.Add(ref x, 16 * i));
                TLanes l = Code(value, inverse, min, maxCode);
                TLanes.Store(l, ref Unsafe.Add(ref codes, 16 * i));
                TLanes wl = TLanes.Multiply(TLanes.Load(in Unsafe.Add(ref w, 16 * i)), l);
                sumL = TLanes.Add(sumL, wl);
                sumL2 = TLanes.Add(sumL2, TLanes.Multiply(wl, l));
                sumXL = TLanes.Add(sumXL, TLanes.Multiply(wl, value));
            }

            TLanes determinant = TLanes.Subtract(TLanes.Multiply(sumW, sumL2), TLanes.Multiply(sumL, sumL));
            TLanes thisScale = TLanes.Divide(TLanes.Subtract(TLanes.Multiply(sumW, sumXL), TLanes.Multiply(sumX, sumL)), determinant);
            TLanes thisMin = TLanes.Divide(TLanes.Subtract(TLanes.Multiply(sumL2, sumX), TLanes.Multiply(sumL, sumXL)), determinant);
            TLanes positive = TLanes.GreaterFloat(thisMin, default);
            thisMin = TLanes.Select(positive, default, thisMin);
            thisScale = TLanes.Select(positive, TLanes.Divide(sumXL, sumL2), thisScale);
            TLanes error = Error(ref x, ref w, ref codes, size, thisScale, thisMin);
            TLanes better = TLanes.And(TLanes.GreaterFloat(determinant, default), TLanes.GreaterFloat(best, error));
            best = TLanes.Select(better, error, best);
            scale = TLanes.Select(better, thisScale, scale);
            codesInverse = TLanes.Select(better, inverse, codesInverse);
            codesBase = TLanes.Select(better, min, codesBase);

            // The next steps measure from the new minimum, as ggml's do.
            min = TLanes.Select(better, thisMin, min);
        }

        TLanes minimum = TLanes.Select(varied, min, flatMinimum);
        TLanes.Store(TLanes.Select(varied, scale, default), ref MemoryMarshal.GetReference(scales[..16]));
        TLanes.Store(TLanes.Subtract(default, minimum), ref MemoryMarshal.GetReference(minima[..16]));
        TLanes.Store(TLanes.Select(varied, codesInverse, default), ref MemoryMarshal.GetReference(inverses[..16]));
        TLanes.Store(TLanes.Select(varied, codesBase, default), ref MemoryMarshal.GetReference(bases[..16]));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes Code(TLanes value, TLanes inverse, TLanes min, int maxCode) =>
        TLanes.IntToFloat(GgufLanes<TLanes>.Clamp(GgufLanes<TLanes>.Nearest(TLanes.Multiply(inverse, TLanes.Subtract(value, min))), 0, maxCode));

    /// <summary>The weighted squared error of codes that stand for scale x code + minimum.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
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
}
