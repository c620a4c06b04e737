using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Pack;

/// <summary>
/// Sums of squares of values and of their errors, in double. Sixteen logical lanes and a fixed tree on every instruction set, tile sums added in tile order:
/// the same number on every machine and thread count. The square of an f32 is exact in double, so only additions round.
/// </summary>
internal struct ErrorSums
{
    private const int Lanes = 16;

    /// <summary>Sums that were taken earlier.</summary>
    public ErrorSums(double values, double errors)
    {
        Values = values;
        Errors = errors;
    }

    /// <summary>Sum of squared values.</summary>
    public double Values { get; private set; }

    /// <summary>Sum of squared errors.</summary>
    public double Errors { get; private set; }

    /// <summary>||W - W'|| / ||W||; 0 when nothing differs, null when it is not a number.</summary>
    public readonly double? Relative
    {
        get
        {
            double ratio = Errors == 0 ? 0 : Math.Sqrt(Errors / Values);
            return double.IsFinite(ratio) ? ratio : null;
        }
    }

    public void Add(ErrorSums other)
    {
        Values += other.Values;
        Errors += other.Errors;
    }

    /// <summary>Adds a tile.</summary>
    public void Add(ReadOnlySpan<float> original, ReadOnlySpan<float> decoded)
    {
        Span<double> values = stackalloc double[Lanes];
        Span<double> errors = stackalloc double[Lanes];
        values.Clear();
        errors.Clear();
        int i = 0;
        if (Vector128.IsHardwareAccelerated)
        {
            i = AddVectors(original, decoded, values, errors);
        }

        // Lane l takes elements l, l + 16, ...: what the vectors do, two lanes to each.
        for (; i < original.Length; i++)
        {
            double v = original[i];
            double e = v - decoded[i];
            values[i % Lanes] += v * v;
            errors[i % Lanes] += e * e;
        }

        Values += Tree(values);
        Errors += Tree(errors);
    }

    private static double Tree(Span<double> lanes)
    {
        for (int width = lanes.Length / 2; width > 0; width /= 2)
        {
            for (int l = 0; l < width; l++)
            {
                lanes[l] += lanes[l + width];
            }
        }

        return lanes[0];
    }

    private static int AddVectors(ReadOnlySpan<float> original, ReadOnlySpan<float> decoded, Span<double> values, Span<double> errors)
    {
        ref float w = ref MemoryMarshal.GetReference(original);
        ref float d = ref MemoryMarshal.GetReference(decoded);
        int blocks = original.Length / Lanes;
        for (int part = 0; part < 2; part++)
        {
            // Lanes 8*part .. 8*part+7, as four vectors of two doubles.
            Vector128<double> v0 = default, v1 = default, v2 = default, v3 = default;
            Vector128<double> e0 = default, e1 = default, e2 = default, e3 = default;
            for (int b = 0; b < blocks; b++)
            {
                var at = (nuint)((b * Lanes) + (8 * part));
                (Vector128<double> w0, Vector128<double> w1) = Vector128.Widen(Vector128.LoadUnsafe(ref w, at));
                (Vector128<double> w2, Vector128<double> w3) = Vector128.Widen(Vector128.LoadUnsafe(ref w, at + 4));
                (Vector128<double> d0, Vector128<double> d1) = Vector128.Widen(Vector128.LoadUnsafe(ref d, at));
                (Vector128<double> d2, Vector128<double> d3) = Vector128.Widen(Vector128.LoadUnsafe(ref d, at + 4));
                d0 = w0 - d0;
                d1 = w1 - d1;
                d2 = w2 - d2;
                d3 = w3 - d3;
                v0 += w0 * w0;
                v1 += w1 * w1;
                v2 += w2 * w2;
                v3 += w3 * w3;
                e0 += d0 * d0;
                e1 += d1 * d1;
                e2 += d2 * d2;
                e3 += d3 * d3;
            }

            Span<double> v = values[(8 * part)..];
            Span<double> e = errors[(8 * part)..];
            v0.CopyTo(v);
            v1.CopyTo(v[2..]);
            v2.CopyTo(v[4..]);
            v3.CopyTo(v[6..]);
            e0.CopyTo(e);
            e1.CopyTo(e[2..]);
            e2.CopyTo(e[4..]);
            e3.CopyTo(e[6..]);
        }

        return blocks * Lanes;
    }
}
