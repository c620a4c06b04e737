namespace ModelPack.Compiler.Calibration;

/// <summary>
/// A histogram of values whose range is not known beforehand, in one pass: <see cref="Bins"/> equal bins over [-r, r), r a power of two that doubles when a value lies outside, two bins becoming one. What it
/// holds in the end depends on the values only, not on their order.
/// </summary>
public sealed class Histogram
{
    /// <summary>Bins of every histogram.</summary>
    public const int Bins = 2048;

    private const int LeastExponent = -110;

    private int _exponent = LeastExponent;
    private float _perUnit = PowerOfTwo(10 - LeastExponent);

    /// <summary>Empty, over the smallest range.</summary>
    public Histogram() => Counts = new long[Bins];

    /// <summary>From stored counts.</summary>
    /// <param name="counts">One per bin.</param>
    /// <param name="exponent">log2 of r.</param>
    public Histogram(long[] counts, int exponent)
    {
        ArgumentNullException.ThrowIfNull(counts);
        ArgumentOutOfRangeException.ThrowIfNotEqual(counts.Length, Bins);
        Counts = counts;
        Exponent = exponent;
    }

    /// <summary>Values per bin, the most negative first.</summary>
    public long[] Counts { get; }

    /// <summary>log2 of r.</summary>
    public int Exponent
    {
        get => _exponent;
        private set
        {
            _exponent = Math.Clamp(value, LeastExponent, 127);
            _perUnit = PowerOfTwo(10 - _exponent);
        }
    }

    /// <summary>Adds finite values.</summary>
    public void Add(ReadOnlySpan<float> values)
    {
        int largest = 0;
        foreach (float value in values)
        {
            largest = Math.Max(largest, BitConverter.SingleToInt32Bits(value) & 0x7FFFFFFF);
        }

        while (Exponent < 127 && largest >= BitConverter.SingleToInt32Bits(PowerOfTwo(Exponent)))
        {
            Double();
        }

        long[] counts = Counts;
        foreach (float value in values)
        {
            // A product with a power of two is exact, but for numbers so small that they belong into the bins at zero anyway; the end of the range belongs into the last bin.
            counts[Math.Clamp((int)MathF.Floor(value * _perUnit) + (Bins / 2), 0, Bins - 1)]++;
        }
    }

    private void Double()
    {
        // Bin i of the wider range covers bins 2i and 2i + 1 of the narrower one, which lies in its middle.
        long[] counts = Counts;
        long[] wide = new long[Bins];
        for (int i = 0; i < Bins / 2; i++)
        {
            wide[(Bins / 4) + i] = counts[2 * i] + counts[(2 * i) + 1];
        }

        wide.CopyTo(counts, 0);
        Exponent++;
    }

    private static float PowerOfTwo(int exponent) =>
        exponent > 127 ? PowerOfTwo(127) : BitConverter.Int32BitsToSingle((exponent + 127) << 23);
}
