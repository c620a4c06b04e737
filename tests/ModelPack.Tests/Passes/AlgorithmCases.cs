using System.IO.Hashing;
using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Numbers;
using ModelPack.Pack;
using ModelPack.Passes;
using ModelPack.Testing;

namespace ModelPack.Tests.Passes;

/// <summary>Weights, activations and statistics for the tests of algorithms.</summary>
internal static class AlgorithmCases
{
    public static readonly AlgorithmOptions Options = new(ActivationOrder: true, Damping: 0.01);

    /// <summary>Encodes <see cref="Weights"/>, or others, by an algorithm, GPTQ unless another is given.</summary>
    public static EncodedWeight Encode(
        int n, int k, UnitSpec spec, ActivationStatistics statistics, AlgorithmOptions options, bool search, int threads, long memory = 1 << 30, int refine = 0, IWeightAlgorithm? by = null, ScaleChoice scales = ScaleChoice.Encoder, float[]? weights = null)
    {
        Tensor tensor = Tensor.Raw("w", DType.F32, new Shape(n, k), TensorData.FromBytes(MemoryMarshal.AsBytes((weights ?? Weights(n, k)).AsSpan()).ToArray()));
        var context = new PassContext { OpenValues = EncodingValues.Open, Threads = threads, MaxMemoryBytes = memory };
        using IPreparedAlgorithm algorithm = (by ?? new Gptq()).Prepare(statistics, options, threads, default);
        DampedMoments? moments = refine > 0 ? new DampedMoments(statistics, options.Damping) : null;
        return WeightEncoder.Encode(tensor.Encoding, spec, [new RowGroup(algorithm, moments is null ? null : new CoordinateDescent(moments, refine))], search ? ScaleChoice.Output : scales, context);
    }

    public static UnitSpec Bound(string format, int n, int k)
    {
        TensorData data = TensorData.FromBytes(MemoryMarshal.AsBytes(Weights(n, k).AsSpan()).ToArray());
        return NumberFormats.Bind(NumberFormats.Complete(UnitSpec.Parse(format), new RawValueReader(DType.F32, new Shape(n, k), data)), new Shape(n, k)).Spec;
    }

    public static float[] Weights(int n, int k) => Values.Weights(9, n * k);

    /// <summary>Correlated vectors, some channels much larger than others.</summary>
    public static float[] Activations(int k, int rows)
    {
        float[] x = Values.Weights(10, rows * k);
        for (int r = 0; r < rows; r++)
        {
            for (int i = 1; i < k; i++)
            {
                x[(r * k) + i] = ((0.7f * x[(r * k) + i - 1]) + x[(r * k) + i]) * (i % 11 == 0 ? 5 : 1);
            }
        }

        return x;
    }

    public static ActivationStatistics Statistics(int k, int rows, bool drift = false)
    {
        float[] x = Activations(k, rows);
        return Collect(new CalibrationTap("x", k, true, drift), x, drift ? [.. x.Select(v => v * 1.01f)] : []);
    }

    public static ActivationStatistics Collect(CalibrationTap tap, float[] x, float[] reference)
    {
        using var collector = new StatisticsCollector(tap);
        collector.Add(x, reference, 1);
        return collector.Finish();
    }

    /// <summary>tr(E H E^T) in double.</summary>
    public static double OutputError(float[] weights, float[] quantized, ActivationStatistics statistics)
    {
        int k = statistics.Tap.Columns;
        float[] moments = MemoryMarshal.Cast<byte, float>(statistics.SecondMoments!.ToArray()).ToArray();
        double total = 0;
        for (int at = 0; at < weights.Length; at += k)
        {
            for (int i = 0; i < k; i++)
            {
                double product = 0;
                for (int j = 0; j < k; j++)
                {
                    product += moments[(i * k) + j] * ((double)weights[at + j] - quantized[at + j]);
                }

                total += product * ((double)weights[at + i] - quantized[at + i]);
            }
        }

        return total;
    }

    /// <summary>A hash of all bytes, and the measured errors to the last digit.</summary>
    public static string Fingerprint(EncodedWeight encoded)
    {
        var hash = new XxHash128();
        foreach (EncodedStream stream in encoded.Encoding.Streams)
        {
            hash.Append(stream.Data.ToArray());
        }

        return $"{Convert.ToHexStringLower(hash.GetCurrentHash())} {encoded.RelativeError:r} {encoded.Loss:r}";
    }
}
