using System.Runtime.InteropServices;
using ModelPack.Compiler.Calibration;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Compiler;

public sealed class StatisticsCollectorTests
{
    private const int K = 70;

    [Fact]
    public void Finish_hasRangesHistogramAndProducts_ofWhatWasAdded()
    {
        float[] x = Values.Weights(1, 300 * K);
        float[] f = Values.Weights(2, 300 * K);
        using ActivationStatistics statistics = Collect(new CalibrationTap("x", K, true, true), x, f, 2);

        Assert.Equal(300, statistics.Rows);
        Assert.Equal(300L * K, statistics.Histogram.Counts.Sum());
        float[] moments = Floats(statistics.SecondMoments!);
        float[] drift = Floats(statistics.Drift!);
        for (int i = 0; i < K; i++)
        {
            Assert.Equal(Enumerable.Range(0, 300).Min(r => x[(r * K) + i]), statistics.Minimum[i]);
            Assert.Equal(Enumerable.Range(0, 300).Max(r => x[(r * K) + i]), statistics.Maximum[i]);
            for (int j = 0; j < K; j++)
            {
                Assert.Equal(Enumerable.Range(0, 300).Sum(r => (double)x[(r * K) + i] * x[(r * K) + j]), moments[(i * K) + j], 1e-5);
                Assert.Equal(Enumerable.Range(0, 300).Sum(r => ((double)f[(r * K) + i] - x[(r * K) + i]) * x[(r * K) + j]), drift[(i * K) + j], 1e-5);
                Assert.Equal(moments[(i * K) + j], moments[(j * K) + i]);
            }
        }
    }

    [Fact]
    public void Add_onAnyNumberOfThreads_givesTheSameBytes()
    {
        float[] x = Values.Weights(3, 513 * K);
        using ActivationStatistics one = Collect(new CalibrationTap("x", K, true), x, [], 1);
        using ActivationStatistics three = Collect(new CalibrationTap("x", K, true), x, [], 3);

        Assert.Equal(Floats(one.SecondMoments!), Floats(three.SecondMoments!));
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void Add_aValueThatIsNoNumber_isMP2211(float bad)
    {
        float[] x = Values.Weights(4, 2 * K);
        x[K + 3] = bad;
        using var collector = new StatisticsCollector(new CalibrationTap("hidden", K, true));

        ModelPackException error = Assert.Throws<ModelPackException>(() => collector.Add(x, default, 1));

        Assert.Equal(ErrorCodes.CalibrationNotFinite, error.Code);
        Assert.Contains("'hidden'", error.Message, StringComparison.Ordinal);
        Assert.Contains("channel 3 of vector 1", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Add_noWholeVectors_isMP2212()
    {
        using var collector = new StatisticsCollector(new CalibrationTap("x", K, false));

        Assert.Equal(ErrorCodes.CalibrationShape, Assert.Throws<ModelPackException>(() => collector.Add(new float[K + 1], default, 1)).Code);
    }

    [Fact]
    public void Histogram_doesNotDependOnTheOrder_andItsRangeIsTheNextPowerOfTwo()
    {
        float[] values = [.. Values.Weights(5, 5000).Select((v, i) => i % 100 == 0 ? v * 100 : v), 0f, -0f, 1e-30f];
        var forwards = new Histogram();
        forwards.Add(values);
        var backwards = new Histogram();
        foreach (float value in values.Reverse())
        {
            backwards.Add([value]);
        }

        Assert.Equal(forwards.Counts, backwards.Counts);
        Assert.Equal(forwards.Exponent, backwards.Exponent);
        float largest = values.Max(MathF.Abs);
        Assert.True(largest < MathF.ScaleB(1, forwards.Exponent) && largest >= MathF.ScaleB(1, forwards.Exponent - 1));
        Assert.Equal(values.Length, forwards.Counts.Sum());
        Assert.Equal(values.Count(v => v < 0), forwards.Counts.Take(Histogram.Bins / 2).Sum());
    }

    [Fact]
    public void Histogram_ofTheLargestNumbers_hasThemAtItsEnds()
    {
        var histogram = new Histogram();
        histogram.Add([float.MaxValue, -float.MaxValue, 1f]);

        Assert.Equal(1, histogram.Counts[^1]);
        Assert.Equal(1, histogram.Counts[0]);
        Assert.Equal(1, histogram.Counts[Histogram.Bins / 2]);
    }

    private static ActivationStatistics Collect(CalibrationTap tap, float[] x, float[] reference, int threads)
    {
        using var collector = new StatisticsCollector(tap);
        int half = x.Length / K / 2 * K;
        collector.Add(x.AsMemory(0, half), reference.Length == 0 ? default : reference.AsMemory(0, half), threads);
        collector.Add(x.AsMemory(half), reference.Length == 0 ? default : reference.AsMemory(half), threads);
        return collector.Finish();
    }

    private static float[] Floats(TensorData data) => MemoryMarshal.Cast<byte, float>(data.ToArray()).ToArray();
}
