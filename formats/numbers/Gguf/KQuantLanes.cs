using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

/// <summary>
/// The searches of <see cref="KQuantSearch"/> for 16 sub-blocks at once, one per lane: every lane adds up its own sums in the order of the values, so that its result is the same to the last bit.
/// Values come transposed: value i of sub-block j at 16i + j.
/// </summary>
internal static partial class KQuantLanes<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    private const float LeastGroup = 1e-15f;

    /// <summary>Transposes 16 sub-blocks of <paramref name="size"/> values, a multiple of 16.</summary>
    public static void Transpose(ReadOnlySpan<float> values, int size, Span<float> transposed)
    {
        ref float from = ref MemoryMarshal.GetReference(values[..(16 * size)]);
        ref float to = ref MemoryMarshal.GetReference(transposed[..(16 * size)]);
        if (typeof(TLanes) == typeof(Lanes512) && Avx512F.IsSupported)
        {
            for (int i = 0; i < size; i += 16)
            {
                Transposition16.Run(ref Unsafe.Add(ref from, i), size, ref Unsafe.Add(ref to, 16 * i));
            }

            return;
        }

        for (int i = 0; i < size; i++)
        {
            for (int j = 0; j < 16; j++)
            {
                Unsafe.Add(ref to, (16 * i) + j) = Unsafe.Add(ref from, (size * j) + i);
            }
        }
    }

    /// <summary>As <see cref="KQuantSearch.SymmetricScale"/>. Codes are nearest(inverse x value), clamped, plus <paramref name="half"/>; for groups of (almost) zeros nothing but 0.</summary>
    /// <param name="transposed">16 sub-blocks of <paramref name="size"/> values.</param>
    /// <param name="scratch">Twice as many.</param>
    /// <param name="size">Values of a sub-block.</param>
    /// <param name="half">32 for codes of 6 bits.</param>
    /// <param name="scales">Receives 16 scales.</param>
    /// <param name="inverses">Receives what values are multiplied with.</param>
    public static void SymmetricScales(ReadOnlySpan<float> transposed, Span<float> scratch, int size, int half, Span<float> scales, Span<float> inverses)
    {
        ref float x = ref MemoryMarshal.GetReference(transposed[..(16 * size)]);
        ref float squares = ref MemoryMarshal.GetReference(scratch[..(2 * 16 * size)]);
        ref float cubes = ref Unsafe.Add(ref squares, 16 * size);
        TLanes max = Powers(ref x, ref squares, ref cubes, size);
        Symmetric best = default;
        Try(ref x, ref squares, ref cubes, size, half, 0, max, ref best);
        for (int step = -9; step <= 9; step++)
        {
            if (step != 0)
            {
                Try(ref x, ref squares, ref cubes, size, half, step, max, ref best);
            }
        }

        TLanes small = TLanes.GreaterFloat(TLanes.Create(LeastGroup), TLanes.And(max, TLanes.CreateInt(0x7FFFFFFF)));
        TLanes.Store(TLanes.Select(small, default, best.Scale), ref MemoryMarshal.GetReference(scales[..16]));
        TLanes.Store(TLanes.Select(small, default, best.Inverse), ref MemoryMarshal.GetReference(inverses[..16]));
    }

    /// <summary>Squares and cubes, the same for every step; returns the first values of largest magnitude.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static TLanes Powers(ref float x, ref float squares, ref float cubes, int size)
    {
        TLanes magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        TLanes magnitude = default;
        TLanes max = default;
        for (int i = 0; i < 16 * size; i += 16)
        {
            TLanes value = TLanes.Load(in Unsafe.Add(ref x, i));
            TLanes absolute = TLanes.And(value, magnitudeMask);
            TLanes larger = TLanes.GreaterFloat(absolute, magnitude);
            magnitude = TLanes.Select(larger, absolute, magnitude);
            max = TLanes.Select(larger, value, max);
            TLanes square = TLanes.Multiply(value, value);
            TLanes.Store(square, ref Unsafe.Add(ref squares, i));
            TLanes.Store(TLanes.Multiply(square, value), ref Unsafe.Add(ref cubes, i));
        }

        return max;
    }

    /// <summary>
    /// A step of the symmetric search; step 0 is where it starts. Quotients are at most 33 in magnitude, or belong to a group of (almost) zeros, whose sums are not used. A method of its own:
    /// the compiler stops inlining where one method has too much of it.
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Try(ref float x, ref float squares, ref float cubes, int size, int half, int step, TLanes max, ref Symmetric best)
    {
        float offset = 0.1f * step;
        TLanes inverse = TLanes.Divide(TLanes.Create(-(half + offset)), max);
        TLanes lowest = TLanes.Create(-half);
        TLanes highest = TLanes.Create(half - 1);
        TLanes sumXL = default;
        TLanes sumL2 = default;
        for (int i = 0; i < 16 * size; i += 16)
        {
            TLanes l = Rounded(TLanes.Multiply(inverse, TLanes.Load(in Unsafe.Add(ref x, i))), lowest, highest);
            sumXL = TLanes.Add(sumXL, TLanes.Multiply(TLanes.Load(in Unsafe.Add(ref cubes, i)), l));
            sumL2 = TLanes.Add(sumL2, TLanes.Multiply(TLanes.Multiply(TLanes.Load(in Unsafe.Add(ref squares, i)), l), l));
        }

        TLanes scale = TLanes.Divide(sumXL, sumL2);
        if (step == 0)
        {
            // 0 when there is nothing to divide by.
            TLanes divides = TLanes.GreaterInt(TLanes.And(sumL2, TLanes.CreateInt(0x7FFFFFFF)), default);
            scale = TLanes.Select(divides, scale, default);
            best = new Symmetric(scale, TLanes.Multiply(scale, sumXL), inverse);
            return;
        }

        TLanes square = TLanes.Multiply(sumXL, sumXL);
        TLanes better = TLanes.And(TLanes.GreaterFloat(sumL2, default), TLanes.GreaterFloat(square, TLanes.Multiply(best.Gain, sumL2)));
        best = new Symmetric(
            TLanes.Select(better, scale, best.Scale),
            TLanes.Select(better, TLanes.Multiply(scale, sumXL), best.Gain),
            TLanes.Select(better, inverse, best.Inverse));
    }

    /// <summary>The nearest integer as f32, clamped, of a magnitude below 2^22: there it equals <see cref="GgufHalf.Nearest"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes Rounded(TLanes value, TLanes lowest, TLanes highest)
    {
        TLanes magic = TLanes.Create(12582912f);
        return TLanes.Min(TLanes.Max(TLanes.Subtract(TLanes.Add(value, magic), magic), lowest), highest);
    }

    /// <summary>The best of the symmetric search so far.</summary>
    /// <param name="Scale">Scales.</param>
    /// <param name="Gain">How much they lessen the error.</param>
    /// <param name="Inverse">What values were multiplied with.</param>
    private readonly record struct Symmetric(TLanes Scale, TLanes Gain, TLanes Inverse);
}
