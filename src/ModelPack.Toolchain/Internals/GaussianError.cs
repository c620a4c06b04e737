using ModelPack.Numbers;

namespace ModelPack.Toolchain;

/// <summary>Mean squared error of a number format on N(0,1) values by Monte Carlo, and the capacity derived from it.</summary>
/// <remarks>
/// Capacity rho = tanh(0.41 * log_1/4(MSE))^1.39 (Unified scaling laws for compressed representations, arXiv 2506.01863): a
/// ranking prior fitted on trained-quantised models, not a promise about a particular model.
/// </remarks>
internal static class GaussianError
{
    private const int Rows = 128;
    private const int Columns = 256;

    /// <summary>MSE over 32,768 values; the sample is the same in every run and on every machine.</summary>
    public static double Measure(UnitSpec spec)
    {
        IBoundNumberFormat format = NumberFormats.Bind(spec, new Shape(Rows, Columns));
        float[] values = Sample(Rows * Columns);
        float[] decoded = new float[values.Length];
        Memory<byte>[] streams = [.. format.Streams.Select(s => new Memory<byte>(new byte[s.BytesPerRow * Rows]))];
        format.EncodeRows(values, Rows, streams);
        format.DecodeRows([.. streams.Select(s => (ReadOnlyMemory<byte>)s)], Rows, decoded);
        double sum = 0;
        for (int i = 0; i < values.Length; i++)
        {
            double d = (double)values[i] - decoded[i];
            sum += d * d;
        }

        return sum / values.Length;
    }

    /// <summary>Capacity for a mean squared error on N(0,1); 1 when the error is zero, 0 when nothing is left.</summary>
    public static double Capacity(double mse)
    {
        if (mse <= 0)
        {
            return 1;
        }

        double effectiveBits = Math.Log(mse) / Math.Log(0.25);
        return effectiveBits <= 0 ? 0 : Math.Pow(Math.Tanh(0.41 * effectiveBits), 1.39);
    }

    /// <summary>Sums of twelve uniform draws have too light tails; Box-Muller over a fixed 64-bit generator does not.</summary>
    internal static float[] Sample(int count, float deviation = 1)
    {
        var values = new float[count];
        ulong state = 0x9E3779B97F4A7C15;
        for (int i = 0; i < count; i += 2)
        {
            double radius = Math.Sqrt(-2 * Math.Log(NextUnit(ref state)));
            double angle = 2 * Math.PI * NextUnit(ref state);
            values[i] = deviation * (float)(radius * Math.Cos(angle));
            values[i + 1] = deviation * (float)(radius * Math.Sin(angle));
        }

        return values;
    }

    /// <summary>Uniform in (0, 1), by SplitMix64.</summary>
    private static double NextUnit(ref ulong state)
    {
        ulong z = state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        z ^= z >> 31;
        return ((z >> 11) + 0.5) * (1.0 / (1UL << 53));
    }
}
