using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>
/// The search of <c>rule=mse</c> over 16 lanes; lane i takes columns i mod 16. Squared errors are measured in units of the candidate, so that a value costs a product with the candidate's
/// reciprocal, the rounding to the element's grid in place (no code is made), and the square. Four candidates share a pass over 256 magnitudes in the first-level cache.
/// </summary>
/// <remarks>
/// Candidates 12, 14 .. 20 are twice candidates 0 .. 4. Where no value becomes subnormal or goes beyond the largest element, twice the scale means half of every error, bit for bit, for powers of
/// two pass through all roundings: such sums are a quarter of those of candidates 0 .. 4.
/// </remarks>
internal static class Fp8Search<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    /// <summary>The first candidate that is twice another.</summary>
    private const int FirstDouble = 12;

    private const int Doubles = 5;

    /// <summary>Candidates in the order of their computation, in fours: those that are twice another last, because often not all are needed; the very last one is repeated.</summary>
    private static ReadOnlySpan<byte> Order => [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 12, 14, 16, 18, 20, 20, 20, 20];

    /// <summary>As <see cref="Fp8Reference.AddErrors"/>.</summary>
    [SkipLocalsInit]
    public static void AddErrors(ReadOnlySpan<float> row, ReadOnlySpan<float> reciprocals, in SmallFloatFormat f, Span<double> errors)
    {
        const int singles = Fp8Rule.Candidates - Doubles;
        float leastNormal = BitConverter.Int32BitsToSingle(f.MinNormalBits);
        float largest = SmallFloatReference.DecodeFinite(f.MaxCode, f);
        float toMagic = BitConverter.Int32BitsToSingle((127 + 23 - f.MantissaBits) << 23);
        float leastMagic = 1.5f * leastNormal * toMagic;

        // Magnitudes from here on are normal under the largest candidate; the division may be off by a unit.
        float regular = leastNormal / reciprocals[Fp8Rule.Candidates - 1] * 1.000001f;
        bool doubled = AreDoubled(reciprocals);
        Span<float> magnitudes = stackalloc float[Fp8Reference.FlushColumns];
        Span<float> ordered = stackalloc float[Order.Length];
        Span<float> sums = stackalloc float[Order.Length];
        for (int i = 0; i < Order.Length; i++)
        {
            ordered[i] = reciprocals[Order[i]];
        }

        ref float x = ref MemoryMarshal.GetReference(magnitudes);
        for (int c = 0; c < row.Length; c += Fp8Reference.FlushColumns)
        {
            ReadOnlySpan<float> part = row.Slice(c, Math.Min(Fp8Reference.FlushColumns, row.Length - c));
            int length = Magnitudes(part, regular, magnitudes, out float most, out bool hasSubnormal);

            // Of how many candidates, from the first on, the doubles are not like them.
            int unlike = doubled && !hasSubnormal ? 0 : Doubles;
            while (unlike < Doubles && most * reciprocals[unlike] > largest)
            {
                unlike++;
            }

            for (int i = 0; i < singles + unlike; i += 4)
            {
                if (most * ordered[i] > largest)
                {
                    Clipped(ref x, length, ref ordered[i], toMagic, leastMagic, largest, ref sums[i]);
                }
                else
                {
                    Within(ref x, length, ref ordered[i], toMagic, leastMagic, ref sums[i]);
                }
            }

            for (int i = 0; i < Fp8Rule.Candidates; i++)
            {
                errors[Order[i]] += i < singles + unlike ? sums[i] : sums[i - singles] * 0.25f;
            }
        }
    }

    /// <summary>As <see cref="AddErrors(ReadOnlySpan{float}, ReadOnlySpan{float}, in SmallFloatFormat, Span{double})"/> for few candidates: those whose bits are set.</summary>
    [SkipLocalsInit]
    public static void AddErrors(ReadOnlySpan<float> row, ReadOnlySpan<float> reciprocals, uint candidates, in SmallFloatFormat f, Span<double> errors)
    {
        float largest = SmallFloatReference.DecodeFinite(f.MaxCode, f);
        float toMagic = BitConverter.Int32BitsToSingle((127 + 23 - f.MantissaBits) << 23);
        float leastMagic = 1.5f * BitConverter.Int32BitsToSingle(f.MinNormalBits) * toMagic;
        Span<float> magnitudes = stackalloc float[Fp8Reference.FlushColumns];
        ref float x = ref MemoryMarshal.GetReference(magnitudes);
        for (int c = 0; c < row.Length; c += Fp8Reference.FlushColumns)
        {
            int length = Magnitudes(row.Slice(c, Math.Min(Fp8Reference.FlushColumns, row.Length - c)), 0, magnitudes, out _, out _);
            for (uint left = candidates; left != 0;)
            {
                int first = BitOperations.TrailingZeroCount(left);
                left &= left - 1;
                int second = left == 0 ? first : BitOperations.TrailingZeroCount(left);
                left &= left - 1;
                (float a, float b) = Two(ref x, length, reciprocals[first], reciprocals[second], toMagic, leastMagic, largest);
                errors[first] += a;
                if (second != first)
                {
                    errors[second] += b;
                }
            }
        }
    }

    /// <summary>False where the largest scale that an f32 allows came between.</summary>
    public static bool AreDoubled(ReadOnlySpan<float> reciprocals)
    {
        for (int k = FirstDouble; k < Fp8Rule.Candidates; k += 2)
        {
            if (reciprocals[k] * 2 != reciprocals[(k - FirstDouble) / 2])
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Magnitudes, padded with zeros to whole groups; returns their number.</summary>
    /// <param name="values">Finite.</param>
    /// <param name="regular">Smaller ones but zeros count as subnormal.</param>
    /// <param name="magnitudes">Receives them.</param>
    /// <param name="most">The largest.</param>
    /// <param name="hasSubnormal">Whether one is subnormal.</param>
    private static int Magnitudes(ReadOnlySpan<float> values, float regular, Span<float> magnitudes, out float most, out bool hasSubnormal)
    {
        int length = (values.Length + 15) & ~15;
        if (length > values.Length)
        {
            Span<float> last = magnitudes.Slice(length - 16, 16);
            last.Clear();
            values[(length - 16)..].CopyTo(last);
        }

        TLanes mask = TLanes.CreateInt(0x7FFFFFFF);
        TLanes least = TLanes.Create(regular);
        TLanes largest = default;
        TLanes small = default;
        ref float from = ref MemoryMarshal.GetReference(values);
        ref float to = ref MemoryMarshal.GetReference(magnitudes);
        for (int i = 0; i < length; i += 16)
        {
            TLanes magnitude = TLanes.And(TLanes.Load(ref i + 16 <= values.Length ? ref Unsafe.Add(ref from, i) : ref Unsafe.Add(ref to, i)), mask);
            TLanes.Store(magnitude, ref Unsafe.Add(ref to, i));
            largest = TLanes.MaxInt(largest, magnitude);
            small = TLanes.Or(small, TLanes.And(TLanes.GreaterFloat(least, magnitude), TLanes.GreaterInt(magnitude, default)));
        }

        most = BitConverter.Int32BitsToSingle(TLanes.MaxIntAcross(largest));
        hasSubnormal = TLanes.SignBits(small) != 0;
        return length;
    }

    /// <summary>Four sums of squared distances of magnitudes, times four reciprocals and none beyond the largest element, from the element type's.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Within(ref float x, int length, ref float four, float toMagic, float leastMagic, ref float sums)
    {
        TLanes least = TLanes.Create(leastMagic);
        TLanes byFirst = TLanes.Create(four), magicFirst = TLanes.Create(four * toMagic);
        TLanes bySecond = TLanes.Create(Unsafe.Add(ref four, 1)), magicSecond = TLanes.Create(Unsafe.Add(ref four, 1) * toMagic);
        TLanes byThird = TLanes.Create(Unsafe.Add(ref four, 2)), magicThird = TLanes.Create(Unsafe.Add(ref four, 2) * toMagic);
        TLanes byLast = TLanes.Create(Unsafe.Add(ref four, 3)), magicLast = TLanes.Create(Unsafe.Add(ref four, 3) * toMagic);
        TLanes a = default, b = default, c = default, d = default;
        for (int i = 0; i < length; i += 16)
        {
            TLanes magnitude = TLanes.Load(in Unsafe.Add(ref x, i));
            TLanes v = TLanes.Multiply(magnitude, byFirst);
            a = TLanes.Add(a, Square(TLanes.Subtract(v, Nearest(v, TLanes.Max(TLanes.Multiply(magnitude, magicFirst), least)))));
            v = TLanes.Multiply(magnitude, bySecond);
            b = TLanes.Add(b, Square(TLanes.Subtract(v, Nearest(v, TLanes.Max(TLanes.Multiply(magnitude, magicSecond), least)))));
            v = TLanes.Multiply(magnitude, byThird);
            c = TLanes.Add(c, Square(TLanes.Subtract(v, Nearest(v, TLanes.Max(TLanes.Multiply(magnitude, magicThird), least)))));
            v = TLanes.Multiply(magnitude, byLast);
            d = TLanes.Add(d, Square(TLanes.Subtract(v, Nearest(v, TLanes.Max(TLanes.Multiply(magnitude, magicLast), least)))));
        }

        sums = TLanes.Sum(a);
        Unsafe.Add(ref sums, 1) = TLanes.Sum(b);
        Unsafe.Add(ref sums, 2) = TLanes.Sum(c);
        Unsafe.Add(ref sums, 3) = TLanes.Sum(d);
    }

    /// <summary>As <see cref="Within"/> for magnitudes that may go beyond the largest element.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Clipped(ref float x, int length, ref float four, float toMagic, float leastMagic, float largest, ref float sums)
    {
        TLanes least = TLanes.Create(leastMagic);
        TLanes most = TLanes.Create(largest);
        TLanes byFirst = TLanes.Create(four), magicFirst = TLanes.Create(four * toMagic);
        TLanes bySecond = TLanes.Create(Unsafe.Add(ref four, 1)), magicSecond = TLanes.Create(Unsafe.Add(ref four, 1) * toMagic);
        TLanes byThird = TLanes.Create(Unsafe.Add(ref four, 2)), magicThird = TLanes.Create(Unsafe.Add(ref four, 2) * toMagic);
        TLanes byLast = TLanes.Create(Unsafe.Add(ref four, 3)), magicLast = TLanes.Create(Unsafe.Add(ref four, 3) * toMagic);
        TLanes a = default, b = default, c = default, d = default;
        for (int i = 0; i < length; i += 16)
        {
            TLanes magnitude = TLanes.Load(in Unsafe.Add(ref x, i));
            TLanes v = TLanes.Multiply(magnitude, byFirst);
            a = TLanes.Add(a, Square(TLanes.Subtract(v, TLanes.Min(Nearest(v, TLanes.Max(TLanes.Multiply(magnitude, magicFirst), least)), most))));
            v = TLanes.Multiply(magnitude, bySecond);
            b = TLanes.Add(b, Square(TLanes.Subtract(v, TLanes.Min(Nearest(v, TLanes.Max(TLanes.Multiply(magnitude, magicSecond), least)), most))));
            v = TLanes.Multiply(magnitude, byThird);
            c = TLanes.Add(c, Square(TLanes.Subtract(v, TLanes.Min(Nearest(v, TLanes.Max(TLanes.Multiply(magnitude, magicThird), least)), most))));
            v = TLanes.Multiply(magnitude, byLast);
            d = TLanes.Add(d, Square(TLanes.Subtract(v, TLanes.Min(Nearest(v, TLanes.Max(TLanes.Multiply(magnitude, magicLast), least)), most))));
        }

        sums = TLanes.Sum(a);
        Unsafe.Add(ref sums, 1) = TLanes.Sum(b);
        Unsafe.Add(ref sums, 2) = TLanes.Sum(c);
        Unsafe.Add(ref sums, 3) = TLanes.Sum(d);
    }

    /// <summary>As <see cref="Clipped"/> for two candidates.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static (float First, float Second) Two(ref float x, int length, float first, float second, float toMagic, float leastMagic, float largest)
    {
        TLanes least = TLanes.Create(leastMagic);
        TLanes most = TLanes.Create(largest);
        TLanes byFirst = TLanes.Create(first), magicFirst = TLanes.Create(first * toMagic);
        TLanes bySecond = TLanes.Create(second), magicSecond = TLanes.Create(second * toMagic);
        TLanes a = default, b = default;
        for (int i = 0; i < length; i += 16)
        {
            TLanes magnitude = TLanes.Load(in Unsafe.Add(ref x, i));
            TLanes v = TLanes.Multiply(magnitude, byFirst);
            a = TLanes.Add(a, Square(TLanes.Subtract(v, TLanes.Min(Nearest(v, TLanes.Max(TLanes.Multiply(magnitude, magicFirst), least)), most))));
            v = TLanes.Multiply(magnitude, bySecond);
            b = TLanes.Add(b, Square(TLanes.Subtract(v, TLanes.Min(Nearest(v, TLanes.Max(TLanes.Multiply(magnitude, magicSecond), least)), most))));
        }

        return (TLanes.Sum(a), TLanes.Sum(b));
    }

    /// <summary>
    /// A nearest element, or grid point above them, of a magnitude v with m significand bits; of two the one or the other, which are equally far. <paramref name="magic"/> is v · 2^(23-m), at least 1.5 times
    /// that of the least normal element. As a multiple of the quantum of v's binade, and with nearly all of itself left, it makes the difference round to that quantum. (A sum may reach the next binade, where its
    /// quantum is twice that; a difference may reach the one below, where it is half, but only for v within 2^-20 of a power of two, to which either rounds it.)
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes Nearest(TLanes v, TLanes magic) => TLanes.Subtract(magic, TLanes.Subtract(magic, v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes Square(TLanes error) => TLanes.Multiply(error, error);
}
