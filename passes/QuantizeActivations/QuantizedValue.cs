using System.Globalization;

namespace ModelPack.Passes;

/// <summary>How an activation is written in 8 bits: code = clamp(round(x / scale) + zero, 0, 255), the zero of floats exactly.</summary>
/// <param name="Scale">Width of a step; positive.</param>
/// <param name="Zero">The code of 0.</param>
internal readonly record struct QuantizedValue(float Scale, byte Zero)
{
    /// <summary>Highest code.</summary>
    public const int Codes = 255;

    /// <summary>Steps above the least scale that are tried for offsets to fall onto whole steps.</summary>
    private const int Widenings = 64;

    /// <summary>How much wider the widest step that is tried is.</summary>
    private const double Widest = 1.0 / 16;

    /// <summary>What of a step an offset may be away from a whole number of steps.</summary>
    private const double Tolerance = 1.0 / 32;

    /// <summary>The parameters for values from <paramref name="low"/> to <paramref name="high"/>, widened to hold 0. A range of zeros alone has scale 1.</summary>
    public static QuantizedValue Of(double low, double high)
    {
        (low, high) = (Math.Min(0, low), Math.Max(0, high));
        return high > low ? WithScale((high - low) / Codes, low) : new QuantizedValue(1, 0);
    }

    /// <summary>
    /// As <see cref="Of"/>, with a scale, at most a sixteenth larger, of which given offsets are whole multiples (to 1/32 of a step): then adding the offset is exact in codes, and costs nothing. Null when
    /// there is no such scale.
    /// </summary>
    /// <param name="low">Least value.</param>
    /// <param name="high">Greatest value.</param>
    /// <param name="offsets">The offsets; the range is widened to hold them.</param>
    public static QuantizedValue? WithOffsets(double low, double high, params ReadOnlySpan<double> offsets)
    {
        (low, high) = (Math.Min(0, low), Math.Max(0, high));
        foreach (double offset in offsets)
        {
            (low, high) = (Math.Min(low, offset), Math.Max(high, offset));
        }

        double least = (high - low) / Codes;
        double best = double.PositiveInfinity;
        double chosen = 0;
        for (int i = 0; i <= Widenings && least > 0; i++)
        {
            double scale = (float)(least * (1 + (Widest * i / Widenings)));
            double worst = 0;
            foreach (double offset in offsets)
            {
                double steps = offset / scale;
                worst = Math.Max(worst, Math.Abs(steps - Math.Round(steps)));
            }

            if (worst < best)
            {
                (best, chosen) = (worst, scale);
            }
        }

        return best <= Tolerance ? WithScale(chosen, low) : null;
    }

    /// <summary>The code of a value that need not lie in the range: the number of whole steps from 0, plus the code of 0.</summary>
    public int CodeOf(double value) => Zero + (int)Math.Round(value / Scale);

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"u8 x {Scale:g4} - {Zero}");

    private static QuantizedValue WithScale(double scale, double low)
    {
        // Scales below what f32 divides well by would make codes infinite.
        float stored = Math.Max((float)scale, 1e-30f);
        return new QuantizedValue(stored, (byte)Math.Clamp(Math.Round(-low / stored), 0, Codes));
    }
}
