using ModelPack.Compiler.Calibration;
using ModelPack.Numbers;
using ModelPack.Passes;
using Xunit;
using static ModelPack.Tests.Passes.AlgorithmCases;

namespace ModelPack.Tests.Passes;

/// <summary>Refinement of codes and scales: the error falls, ends where no single step helps, and bytes are the same everywhere.</summary>
[Trait("Category", "Simd")]
public sealed class CoordinateDescentTests
{
    [Theory]
    [InlineData("int2(block=32,symmetric=false)", 0.85)]
    [InlineData("int4(block=128)", 0.97)]
    [InlineData("int4(block=48,symmetric=false,zeros=float)", 0.97)]
    [InlineData("mxfp4", 0.99)]
    [InlineData("mxint8", 1)]
    [InlineData("nvfp4", 0.99)]
    [InlineData("nf4", 0.97)]
    [InlineData("fp8", 0.995)]
    [InlineData("float(exponent=3,mantissa=2,block=64,scale=f16)", 0.99)]
    public void Run_everyKindOfFormat_improvesOnGptq(string format, double most)
    {
        const int n = 48, k = 160;
        using ActivationStatistics statistics = Statistics(k, 1000);
        UnitSpec spec = Bound(format, n, k);
        float[] weights = Weights(n, k);
        EncodedWeight before = Encode(n, k, spec, statistics, Options, search: true, threads: 2);
        EncodedWeight after = Encode(n, k, spec, statistics, Options, search: true, threads: 2, refine: 4);

        Assert.InRange(after.Loss, 0, before.Loss * most);

        // What it says about the error is the error of the codes and scales that were stored.
        Assert.InRange(OutputError(weights, Pipeline.Values(after.Encoding), statistics) / after.Loss, 0.8, 1.001);
    }

    [Fact]
    public void Run_manyRounds_endsWhereNoCodeCanBeImproved()
    {
        const int n = 6, k = 150;
        using ActivationStatistics statistics = Statistics(k, 1000);
        UnitSpec spec = Bound("int3(block=64,scale=f32)", n, k);
        EncodedWeight encoded = Encode(n, k, spec, statistics, Options, search: false, threads: 1, refine: 60, by: new RoundToNearest());
        float[] weights = Weights(n, k);
        float[] values = Pipeline.Values(encoded.Encoding);
        var format = (IFixedScaleFormat)NumberFormats.Bind(spec, new Shape(n, k));
        float[] scales = new float[n * 3];
        format.ReadScales([.. encoded.Encoding.Streams.Select(s => (ReadOnlyMemory<byte>)s.Data.ToArray())], n, scales, new float[n * 3]);
        float[] moments = new float[k * k];
        new DampedMoments(statistics, Options.Damping).Read(0, k, moments);
        for (int r = 0; r < n; r++)
        {
            double[] gradient = [.. Enumerable.Range(0, k).Select(i => Enumerable.Range(0, k).Sum(j => moments[(i * k) + j] * ((double)weights[(r * k) + j] - values[(r * k) + j])))];
            for (int i = 0; i < k; i++)
            {
                double scale = scales[(r * 3) + (i / 64)];
                double code = Math.Round(values[(r * k) + i] / scale);
                foreach (double step in new[] { -1.0, 1.0 }.Where(s => code + s is >= -4 and <= 3))
                {
                    double change = step * scale;
                    double growth = (change * change * moments[(i * k) + i]) - (2 * change * gradient[i]);
                    Assert.True(growth > -1e-4 * change * change * moments[(i * k) + i], $"row {r}, column {i}: the error falls by {-growth} with a step of {step}");
                }
            }
        }
    }

    [Fact]
    public void Run_onAnyNumberOfThreads_andInstructionSet_givesTheseBytes()
    {
        const int n = 300, k = 272;
        using ActivationStatistics statistics = Statistics(k, 700, drift: true);
        UnitSpec spec = Bound("int4(block=32,symmetric=false)", n, k);
        string Hash(int threads, long memory) => Fingerprint(Encode(n, k, spec, statistics, Options, true, threads, memory, refine: 2));

        string one = Hash(1, 1 << 30);
        Assert.Equal(one, Hash(3, 1 << 30));
        Assert.Equal(one, Hash(2, 1 << 20));
        Assert.StartsWith("a6c05c81e1f59074cb0dbaa8df98a9a9", one, StringComparison.Ordinal);
    }

    [Fact]
    public void Create_momentsThatAreAllZero_isMP2216()
    {
        using ActivationStatistics statistics = Collect(new CalibrationTap("h3", 32, true), new float[320], []);

        ModelPackException error = Assert.Throws<ModelPackException>(() => new DampedMoments(statistics, 0.01));
        Assert.Equal(ErrorCodes.SingularMoments, error.Code);
    }
}
