using System.Runtime.InteropServices;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Toolchain;

/// <summary>Statistics as they are after each channel of some values was divided by a factor, made of those from before; see <see cref="ICalibrator.Rescale"/>.</summary>
/// <param name="inner">The statistics from before; disposed with this.</param>
/// <param name="divisors">By name of the value, a positive factor for each channel.</param>
internal sealed class RescaledStatistics(ICalibrationStatistics inner, IReadOnlyDictionary<string, double[]> divisors) : ICalibrationStatistics
{
    /// <remarks>The histogram of a value with factors is empty: it does not tell channels apart, so nobody knows what it would be.</remarks>
    public ActivationStatistics this[string key]
    {
        get
        {
            ActivationStatistics s = inner[key];
            if (!divisors.TryGetValue(s.Tap.Value, out double[]? channels))
            {
                return s;
            }

            double[] d = s.Tap.Patches is ConvolutionPatches patches
                ? [.. Enumerable.Range(0, s.Tap.Columns).Select(i => channels[patches.FirstChannel + (i / patches.KernelElements)])]
                : channels;

            float[] Narrow(ReadOnlySpan<float> from) => [.. from.ToArray().Select((v, i) => (float)(v / d[i]))];
            double[] sums = [.. s.Sums.ToArray().Select((v, i) => v / d[i])];
            double[] squares = [.. s.Squares.ToArray().Select((v, i) => v / (d[i] * d[i]))];
            TensorData? moments = s.SecondMoments is null ? null : new Moments(s.SecondMoments, d);
            return new ActivationStatistics(s.Tap, s.Rows, Narrow(s.Minimum), Narrow(s.Maximum), sums, squares, new Histogram(), moments);
        }
    }

    public void Dispose() => inner.Dispose();

    /// <summary>[K, K] f32: element (i, j) divided by the factors of i and j.</summary>
    private sealed class Moments(TensorData source, double[] divisors) : ComputedFloats(source.LengthBytes / sizeof(float))
    {
        protected override void Compute(long from, Span<float> values)
        {
            source.Read(from * sizeof(float), MemoryMarshal.AsBytes(values));
            for (int i = 0; i < values.Length; i++)
            {
                long at = from + i;
                values[i] = (float)(values[i] / (divisors[at / divisors.Length] * divisors[at % divisors.Length]));
            }
        }
    }
}
