using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>
/// Which candidates of <c>rule=mse</c> can win at all. All values are counted once in bins of their significand; since every candidate is a multiple of a sixteenth of one scale, every midpoint between elements of
/// every candidate lies on an edge of the bins. The squared error of a candidate then follows from sums per bin, within bounds, and only candidates within them of the least are measured as SPEC.md says.
/// </summary>
/// <remarks>
/// With y = |x| / scale = p · m, p a power of two and 1 &lt;= m &lt; 2, an element q · p of the candidate's grid is (m - q)² · p² away, squared. A bin has the sums of p² and of p² · m; what is
/// left, the sum of p² · (m - the bin's middle)² and below 2^-20 of that of p², is the same for all candidates. Small magnitudes, which are subnormal under some candidates, count as if they were not. Values of the
/// largest binade, some of which the smaller candidates clip, have bins of their own.
/// </remarks>
internal ref struct Fp8ErrorBins
{
    /// <summary>Bins of a binade: 17/16 .. 31/16 of 16/16 .. 31/16 are multiples of 1/256, and odd ones between 2 and 4 become multiples of 1/512 between 1 and 2.</summary>
    public const int Bins = 512;

    /// <summary>f64 in the sums: two for a bin, those of the largest binade last.</summary>
    public const int Length = 4 * Bins;

    /// <summary>Relative difference between errors in f32, as SPEC.md defines them, and exact ones; the rest of it is <see cref="Rounding"/>.</summary>
    private const double Relative = 1.0 / 8192;

    /// <summary>Roundings move values by at most 2^-21 of themselves: (e + d)² is at most (1 + 2^-13) · e² + (1 + 2^13) · d².</summary>
    private const double Rounding = 1.0 / (1 << 28);

    /// <summary>
    /// A candidate worse by this factor changes nothing, whatever its place in the order: the search compares with a margin of 2^-16, and its 21 steps can pass a difference on at most as often.
    /// </summary>
    private const double Clear = 1 + (1.0 / 2048);

    /// <summary>The candidate that is twice the first; every second one after it is twice the next one.</summary>
    private const int FirstDouble = 12;

    private const int FirstSixteenths = 12;

    private readonly Span<double> _sums;
    private readonly SmallFloatFormat _format;
    private readonly float _largest;
    private readonly int _topBits;
    private long _count;

    /// <param name="sums">Room for <see cref="Length"/>; cleared.</param>
    /// <param name="format">Element type.</param>
    public Fp8ErrorBins(Span<double> sums, in SmallFloatFormat format)
    {
        sums.Clear();
        _sums = sums;
        _format = format;
        _largest = SmallFloatReference.DecodeFinite(format.MaxCode, format);
        _topBits = BitConverter.SingleToInt32Bits(_largest) & 0x7F800000;
        _count = 0;
    }

    /// <summary>Adds finite values [height, width], rows stride apart, that are to be divided by the scale whose reciprocal is given.</summary>
    public void Add<TLanes>(ReadOnlySpan<float> values, int height, int width, int stride, float reciprocal)
        where TLanes : struct, ILanes16<TLanes>
    {
        _count += (long)height * width;
        Fp8ErrorSums<TLanes>.Add(values, height, width, stride, reciprocal, _topBits, _sums);
    }

    /// <summary>Bit k is set where candidate k may be the one of least error. Ends the sums.</summary>
    /// <param name="reciprocals">Of the candidates, all of them multiples of the same sixteenth.</param>
    /// <param name="amax">The largest magnitude.</param>
    public readonly uint Choose(ReadOnlySpan<float> reciprocals, float amax)
    {
        (double squares, double powers) = Accumulate();
        Span<double> errors = stackalloc double[Fp8Rule.Candidates];
        Errors(squares, errors);
        double least = double.PositiveInfinity;
        foreach (double error in errors)
        {
            least = Math.Min(least, error);
        }

        // Half a quantum at the least normal element of the largest candidate: no error of a small magnitude is larger, neither the true one nor the one counted.
        float half = 2 * BitConverter.Int32BitsToSingle(_format.MinNormalBits - ((_format.MantissaBits + 1) << 23));
        double small = (double)_count * half * half;
        double rest = powers / (1 << 20);
        double rounding = 4 * powers * Rounding;
        double most = (((least + rest + small) * (1 + Relative)) + rounding) * Clear;
        uint kept = 0;
        for (int k = 0; k < errors.Length; k++)
        {
            errors[k] = ((errors[k] + rest - small) * (1 - Relative)) - rounding;
            kept |= errors[k] <= most ? 1u << k : 0;
        }

        // Of a candidate and its double, whose elements are all among its own up to the largest, the double cannot have the smaller sum; sums that underflow are left to be computed.
        for (int k = 0; FirstDouble + (2 * k) < errors.Length; k++)
        {
            if (amax * reciprocals[k] <= _largest && errors[k] > 1e-15)
            {
                kept &= ~(1u << (FirstDouble + (2 * k)));
            }
        }

        return kept;
    }

    /// <summary>Replaces the sums of bins by running sums, for all values and for the largest binade. Returns the sum of (p · m)², but for what is left within bins, and that of p².</summary>
    private readonly (double Squares, double Powers) Accumulate()
    {
        ref double all = ref MemoryMarshal.GetReference(_sums);
        ref double top = ref Unsafe.Add(ref all, 2 * Bins);
        Vector128<double> ofAll = default, ofTop = default, squares = default;
        for (int i = 0; i < Bins; i++)
        {
            // p² · m² = 2 · c · (p² · m) - c² · p² + p² · (m - c)², c the middle of the bin.
            double middle = 1 + ((i + 0.5) / Bins);
            Vector128<double> inTop = Vector128.LoadUnsafe(ref top, (nuint)(2 * i));
            Vector128<double> both = Vector128.LoadUnsafe(ref all, (nuint)(2 * i)) + inTop;
            squares += both * Vector128.Create(-(middle * middle), 2 * middle);
            ofAll += both;
            ofTop += inTop;
            ofAll.StoreUnsafe(ref all, (nuint)(2 * i));
            ofTop.StoreUnsafe(ref top, (nuint)(2 * i));
        }

        return (squares[0] + squares[1], ofAll[0]);
    }

    /// <summary>Errors of all candidates in units of the scale, squared, but for what is left within bins.</summary>
    private readonly void Errors(double squares, Span<double> errors)
    {
        ReadOnlySpan<double> all = _sums[..(2 * Bins)];
        ReadOnlySpan<double> top = _sums[(2 * Bins)..];
        double significand = _largest / BitConverter.Int32BitsToSingle(_topBits);
        for (int k = 0; k < errors.Length; k++)
        {
            int sixteenths = FirstSixteenths + k;
            if (sixteenths <= 16)
            {
                // Its double has the same elements but for those that clip, or are subnormal.
                int twice = 2 * sixteenths;
                double unclipped = squares + Distances(all, twice, double.PositiveInfinity);
                double clips = sixteenths == 16 ? 0 : Distances(top, twice, significand * sixteenths / 16) - Distances(top, twice, double.PositiveInfinity);
                errors[k] = unclipped + clips;
                errors[FirstDouble + (2 * k)] = unclipped;
            }
            else if (k < FirstDouble || k % 2 != 0)
            {
                errors[k] = squares + Distances(all, sixteenths, double.PositiveInfinity);
            }
        }
    }

    /// <summary>The sum of q² · p² - 2 · q · p² · m over all values, q the nearest element between 1/2 and 2 that is at most the largest.</summary>
    private readonly double Distances(ReadOnlySpan<double> running, int sixteenths, double largest)
    {
        int steps = 1 << _format.MantissaBits;
        double unit = sixteenths / (32.0 * steps);
        int edgeUnit = sixteenths * (Bins / 64) / steps;
        double sum = 0, fromPowers = 0, fromFirst = 0;
        int from = 0;
        for (int binade = 1; binade <= 4; binade *= 2)
        {
            for (int j = 0; j < steps; j++)
            {
                double q = binade * (steps + j) * unit;
                int to = q >= largest ? Bins : Math.Min(Bins, (binade * ((2 * steps) + 1 + (2 * j)) * edgeUnit) - Bins);
                if (to <= from)
                {
                    continue;
                }

                double toPowers = running[(2 * to) - 2], toFirst = running[(2 * to) - 1];
                sum += q * ((q * (toPowers - fromPowers)) - (2 * (toFirst - fromFirst)));
                (from, fromPowers, fromFirst) = (to, toPowers, toFirst);
                if (to == Bins)
                {
                    return sum;
                }
            }
        }

        return sum;
    }
}
