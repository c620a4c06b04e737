using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>
/// The search of <c>rule=mse</c> over 16 lanes; lane i takes columns i mod 16. Squared errors are measured in units of the candidate, so that a value costs one product with the candidate's
/// reciprocal, the rounding to the element's grid in place (no code is made), and the square. Three candidates share a pass over 256 magnitudes in the first-level cache.
/// </summary>
internal static class Fp8Search<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    private const int Together = 3;

    /// <summary>As <see cref="Fp8Reference.AddErrors"/>.</summary>
    [SkipLocalsInit]
    public static void AddErrors(ReadOnlySpan<float> row, ReadOnlySpan<float> reciprocals, in SmallFloatFormat f, Span<double> errors)
    {
        TLanes exponent = TLanes.CreateInt(0x7F800000);
        TLanes leastNormal = TLanes.CreateInt(f.MinNormalBits);
        TLanes toQuantum = TLanes.CreateInt((23 - f.MantissaBits) << 23);
        TLanes largest = TLanes.Create(SmallFloatReference.DecodeFinite(f.MaxCode, f));
        Span<float> magnitudes = stackalloc float[Fp8Reference.FlushColumns];
        for (int c = 0; c < row.Length; c += Fp8Reference.FlushColumns)
        {
            ReadOnlySpan<float> part = row.Slice(c, Math.Min(Fp8Reference.FlushColumns, row.Length - c));
            int length = Magnitudes(part, magnitudes);
            ref float x = ref MemoryMarshal.GetReference(magnitudes);
            for (int k = 0; k < Fp8Rule.Candidates; k += Together)
            {
                TLanes first = TLanes.Create(reciprocals[k]), second = TLanes.Create(reciprocals[k + 1]), third = TLanes.Create(reciprocals[k + 2]);
                TLanes a = default, b = default, d = default;
                for (int i = 0; i < length; i += 16)
                {
                    TLanes magnitude = TLanes.Load(in Unsafe.Add(ref x, i));
                    a = TLanes.Add(a, Square(TLanes.Multiply(magnitude, first), exponent, leastNormal, toQuantum, largest));
                    b = TLanes.Add(b, Square(TLanes.Multiply(magnitude, second), exponent, leastNormal, toQuantum, largest));
                    d = TLanes.Add(d, Square(TLanes.Multiply(magnitude, third), exponent, leastNormal, toQuantum, largest));
                }

                errors[k] += TLanes.Sum(a);
                errors[k + 1] += TLanes.Sum(b);
                errors[k + 2] += TLanes.Sum(d);
            }
        }
    }

    /// <summary>Magnitudes, padded with zeros to whole groups; returns their number.</summary>
    private static int Magnitudes(ReadOnlySpan<float> values, Span<float> magnitudes)
    {
        TLanes mask = TLanes.CreateInt(0x7FFFFFFF);
        ref float from = ref MemoryMarshal.GetReference(values);
        ref float to = ref MemoryMarshal.GetReference(magnitudes);
        int i = 0;
        for (; i + 16 <= values.Length; i += 16)
        {
            TLanes.Store(TLanes.And(TLanes.Load(in Unsafe.Add(ref from, i)), mask), ref Unsafe.Add(ref to, i));
        }

        if (i == values.Length)
        {
            return i;
        }

        Span<float> last = magnitudes.Slice(i, 16);
        last.Clear();
        for (int rest = i; rest < values.Length; rest++)
        {
            last[rest - i] = Math.Abs(values[rest]);
        }

        return i + 16;
    }

    /// <summary>
    /// The squared distance of a magnitude from the element type's. Adding a power of two whose quantum is that of the value's binade, and subtracting it, rounds to nearest even.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes Square(TLanes v, TLanes exponent, TLanes leastNormal, TLanes toQuantum, TLanes largest)
    {
        TLanes magic = TLanes.AddInt(TLanes.MaxInt(TLanes.And(v, exponent), leastNormal), toQuantum);
        TLanes nearest = TLanes.Min(TLanes.Subtract(TLanes.Add(v, magic), magic), largest);
        TLanes error = TLanes.Subtract(v, nearest);
        return TLanes.Multiply(error, error);
    }
}
