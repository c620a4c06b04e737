using System.Runtime.InteropServices;
using ModelPack.Numbers;

namespace ModelPack.Toolchain;

/// <summary>Mean squared error of a number format on N(0,1) values by Monte Carlo, and the capacity derived from it.</summary>
/// <remarks>
/// Capacity rho = tanh(0.41 * log_1/4(MSE))^1.39 (Unified scaling laws for compressed representations, arXiv 2506.01863): a
/// ranking prior fitted on trained-quantised models, not a promise about a particular model.
/// </remarks>
internal static class GaussianError
{
    private const int Rows = 32;
    private const int Columns = 4096;

    private static readonly Lazy<float[]> Shared = new(() => Sample(Rows * Columns));

    /// <summary>MSE over 131,072 values, a matrix of 32 rows; the sample is the same in every run and on every machine.</summary>
    /// <exception cref="ModelPackException">MP1021, MP1022, or MP1040 for a format that cannot hold such values.</exception>
    public static double Measure(UnitSpec spec) => Difference(Shared.Value, RoundTrip(spec, Shared.Value, Rows, Columns));

    /// <summary>MSE of a sparse matrix: what is dropped counts as 0, what is kept goes through the number format, rows of the kept values side by side.</summary>
    /// <param name="spec">The format of the kept values; null keeps them exactly.</param>
    /// <param name="pattern">What is kept.</param>
    /// <exception cref="ModelPackException">As <see cref="Measure(UnitSpec)"/>.</exception>
    public static double Measure(UnitSpec? spec, SparsityPattern pattern)
    {
        float[] sparse = [.. Shared.Value];
        int perRow = pattern.Apply(sparse, Rows, Columns, out int[] keptAt);
        if (spec is not null && perRow > 0)
        {
            float[] kept = [.. keptAt.Select(i => sparse[i])];
            float[] decoded = RoundTrip(spec, kept, Rows, perRow);
            for (int i = 0; i < kept.Length; i++)
            {
                sparse[keptAt[i]] = decoded[i];
            }
        }

        return Difference(Shared.Value, sparse);
    }

    /// <summary>log_1/4 of a mean squared error on N(0,1): the bits of an ideal code with that error. Infinite for no error.</summary>
    public static double EffectiveBits(double mse) => mse <= 0 ? double.PositiveInfinity : Math.Log(mse) / Math.Log(0.25);

    /// <summary>Capacity for a mean squared error on N(0,1); 1 when the error is zero, 0 when nothing is left.</summary>
    public static double Capacity(double mse)
    {
        double effectiveBits = EffectiveBits(mse);
        return effectiveBits <= 0 ? 0 : Math.Pow(Math.Tanh(0.41 * effectiveBits), 1.39);
    }

    /// <summary>Sums of twelve uniform draws have too light tails; Box-Muller over a fixed 64-bit generator does not.</summary>
    internal static float[] Sample(int count, float deviation = 1)
    {
        var values = new float[count];
        var random = new SplitMix64(0x9E3779B97F4A7C15);
        for (int i = 0; i < count; i += 2)
        {
            double radius = Math.Sqrt(-2 * Math.Log(random.OpenUnit()));
            double angle = 2 * Math.PI * random.OpenUnit();
            values[i] = deviation * (float)(radius * Math.Cos(angle));
            if (i + 1 < count)
            {
                values[i + 1] = deviation * (float)(radius * Math.Sin(angle));
            }
        }

        return values;
    }

    private static float[] RoundTrip(UnitSpec spec, float[] values, int rows, int columns)
    {
        var shape = new Shape(rows, columns);
        TensorData data = TensorData.FromBytes(MemoryMarshal.AsBytes<float>(values).ToArray());
        IBoundNumberFormat format = NumberFormats.Bind(NumberFormats.Complete(spec, new RawValueReader(DType.F32, shape, data)), shape);
        int coded = (int)format.Shape.Rows;
        Memory<byte>[] streams = [.. format.Streams.Select(s => new Memory<byte>(new byte[s.BytesPerRow * coded]))];
        float[] decoded = new float[values.Length];
        format.EncodeRows(values, coded, streams);
        format.DecodeRows([.. streams.Select(s => (ReadOnlyMemory<byte>)s)], coded, decoded);
        return decoded;
    }

    private static double Difference(float[] values, float[] decoded)
    {
        double sum = 0;
        for (int i = 0; i < values.Length; i++)
        {
            double d = (double)values[i] - decoded[i];
            sum += d * d;
        }

        return sum / values.Length;
    }
}
