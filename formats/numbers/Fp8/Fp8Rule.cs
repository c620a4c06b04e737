using System.Numerics;

namespace ModelPack.Numbers;

/// <summary>How the scale of a block follows from its largest magnitude (SPEC.md, section 4).</summary>
internal readonly struct Fp8Rule
{
    /// <summary>Candidates of the search: the scale of <c>absmax</c> times (12 + k)/16.</summary>
    public const int Candidates = 21;

    private const int FirstSixteenths = 12;

    /// <summary>The candidate that is the scale itself.</summary>
    public const int Start = 16 - FirstSixteenths;

    /// <summary>2^-100.</summary>
    private const float LeastSearched = 7.888609e-31f;

    private readonly string _rule;
    private readonly float _divisor;
    private readonly float _leastAmax;
    private readonly float _largest;
    private readonly float _largestPower;
    private readonly int _step;
    private readonly int _lowest;
    private readonly int _highest;

    /// <param name="element">Element type.</param>
    /// <param name="rule"><c>absmax</c>, <c>mse</c>, <c>pow2</c> or <c>gaudi</c>.</param>
    /// <param name="backoff">Part of the element's range that the largest magnitude takes.</param>
    /// <param name="leastAmax">Smaller largest magnitudes are taken for this one.</param>
    public Fp8Rule(Fp8Element element, string rule, float backoff, float leastAmax)
    {
        Format = element.Format;
        _rule = rule;
        _divisor = element.Max * backoff;
        _leastAmax = leastAmax;
        _largest = float.MaxValue / element.Max;
        while (!float.IsFinite(_largest * element.Max))
        {
            _largest = MathF.BitDecrement(_largest);
        }

        _largestPower = BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(_largest) & 0x7F800000);
        (_step, _lowest, _highest) = element.Name switch
        {
            "e4m3" => (4, -8, 4),
            "e4m3fn" => (1, -55, 7),
            _ => (1, 0, 0),
        };
    }

    public SmallFloatFormat Format { get; }

    /// <summary>
    /// True when candidates around a scale are to be tried; the reciprocals of much smaller ones would overflow, and values that small do not matter.
    /// </summary>
    public bool SearchesFrom(float scale) => _rule == "mse" && scale >= LeastSearched;

    /// <summary>True when the hardware that <c>gaudi</c> is about has the element type.</summary>
    public static bool HasGaudiScales(Fp8Element element) => element.Name is "e4m3" or "e4m3fn" or "e5m2";

    /// <summary>The scale for a finite largest magnitude; for a search the scale it starts from. Positive, and the largest element times it is finite.</summary>
    public float Scale(float amax)
    {
        amax = Math.Max(amax, _leastAmax);
        if (amax == 0)
        {
            return 1;
        }

        float scale = Math.Max(amax / _divisor, float.Epsilon);
        return _rule switch
        {
            "pow2" => Math.Min(PowerAbove(scale), _largestPower),
            "gaudi" => Accelerated(scale),
            _ => Math.Min(scale, _largest),
        };
    }

    /// <summary>All candidates around a scale, and their reciprocals.</summary>
    public void Fill(float scale, Span<float> candidates, Span<float> reciprocals)
    {
        for (int k = 0; k < Candidates; k++)
        {
            candidates[k] = Math.Min(scale * ((FirstSixteenths + k) / 16f), _largest);
            reciprocals[k] = 1 / candidates[k];
        }
    }

    /// <summary>Sums of errors to begin with: zero for the candidates whose bits are set, infinity for those that cannot win.</summary>
    public static void ClearErrors(uint candidates, Span<double> errors)
    {
        for (int k = 0; k < errors.Length; k++)
        {
            errors[k] = (candidates >> k & 1) != 0 ? 0 : double.PositiveInfinity;
        }
    }

    /// <summary>The candidate of least error, the errors being in units of the candidates: the scale the search started from unless another is clearly better.</summary>
    public static float Best(ReadOnlySpan<float> candidates, ReadOnlySpan<double> errors)
    {
        int best = Start;
        double least = Error(candidates, errors, Start);
        for (int k = 0; k < Candidates; k++)
        {
            double error = Error(candidates, errors, k);
            if (error < least * IntBlockReference.Margin)
            {
                least = error;
                best = k;
            }
        }

        return candidates[best];
    }

    private static double Error(ReadOnlySpan<float> candidates, ReadOnlySpan<double> errors, int k) => (double)candidates[k] * candidates[k] * errors[k];

    /// <summary>The least power of two that is not below a positive value; infinity above 2^127.</summary>
    private static float PowerAbove(float value)
    {
        int bits = BitConverter.SingleToInt32Bits(value);
        return BitConverter.Int32BitsToSingle(bits < 0x00800000 ? (int)BitOperations.RoundUpToPowerOf2((uint)bits) : (bits + 0x7FFFFF) & 0x7F800000);
    }

    private float Accelerated(float scale)
    {
        // A power below 2^-126 has exponent field 0 and is clamped like any other that is too small.
        int exponent = ((BitConverter.SingleToInt32Bits(PowerAbove(scale)) >> 23) & 0xFF) - 127;
        int stepped = (exponent + _step - 1) & -_step;
        return BitConverter.Int32BitsToSingle((Math.Clamp(stepped, _lowest, _highest) + 127) << 23);
    }
}
