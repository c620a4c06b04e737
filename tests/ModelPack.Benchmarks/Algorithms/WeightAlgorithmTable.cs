using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Numbers;
using ModelPack.Pack;
using ModelPack.Passes;
using ModelPack.Testing;

namespace ModelPack.Benchmarks.Algorithms;

/// <summary>Seconds of the algorithms on one large layer of noise: what they take does not depend on the values.</summary>
internal static class WeightAlgorithmTable
{
    private const int Size = 4096;
    private const int Vectors = 2048;

    public static string ToMarkdown(int threads)
    {
        var text = new StringBuilder();
        text.AppendLine("| layer, format | second moments of 2048 vectors | factorisation | scales and codes | GPTQ in all | 3 rounds of refinement |");
        text.AppendLine("|---|---|---|---|---|---|");
        long start = Stopwatch.GetTimestamp();
        using ActivationStatistics statistics = Collect(threads);
        double moments = Seconds(start);
        var context = new PassContext { OpenValues = EncodingValues.Open, Threads = threads, MaxMemoryBytes = 2L << 30 };
        Tensor tensor = Tensor.Raw("w", DType.F32, new Shape(Size, Size), TensorData.FromBytes(MemoryMarshal.AsBytes(Values.Weights(2, Size * Size).AsSpan()).ToArray()));
        foreach (string format in new[] { "int4(block=128)", "int3(block=128,symmetric=false)", "mxfp4" })
        {
            UnitSpec spec = NumberFormats.Bind(UnitSpec.Parse(format), tensor.Shape).Spec;
            start = Stopwatch.GetTimestamp();
            using IPreparedAlgorithm algorithm = new Gptq().Prepare(statistics, new AlgorithmOptions(true, 0.05), threads, default);
            double prepare = Seconds(start);
            start = Stopwatch.GetTimestamp();
            WeightEncoder.Encode(tensor.Encoding, spec, [new RowGroup(algorithm, null)], ScaleChoice.Output, context);
            double encode = Seconds(start);
            start = Stopwatch.GetTimestamp();
            WeightEncoder.Encode(tensor.Encoding, spec, [new RowGroup(algorithm, new CoordinateDescent(new DampedMoments(statistics, 0.05), 3))], ScaleChoice.Output, context);

            double refine = Seconds(start) - encode;
            text.AppendLine(CultureInfo.InvariantCulture, $"| 4096x4096, {format} | {moments:0.0} s | {prepare:0.0} s | {encode:0.0} s | {prepare + encode:0.0} s | {refine:0.0} s more |");
        }

        return text.ToString();
    }

    private static ActivationStatistics Collect(int threads)
    {
        using var collector = new StatisticsCollector(new CalibrationTap("x", Size, true));
        collector.Add(Values.Weights(1, Vectors * Size), default, threads);
        return collector.Finish();
    }

    private static double Seconds(long start) => Stopwatch.GetElapsedTime(start).TotalSeconds;
}
