using ModelPack.Compiler.Calibration;
using ModelPack.Passes;
using Xunit;

namespace ModelPack.Tests.Passes;

public sealed class ActivationRangeTests
{
    [Fact]
    public void Of_minmax_is_all_values() => Assert.Equal((-2.0, 8.0), new ActivationRange("minmax", 1).Of(Collect(-2, 0.5f, 8), double.NegativeInfinity));

    [Theory]
    [InlineData("percentile")]
    [InlineData("entropy")]
    [InlineData("mse")]
    public void Of_clips_one_outlier_among_many_values_and_keeps_most(string method)
    {
        float[] values = Bell(200_000);
        values[17] = 60;
        (double low, double high) = new ActivationRange(method, 0.9999).Of(Collect(values), double.NegativeInfinity);

        Assert.InRange(high, 2.5, method == "mse" ? 50 : 30);
        Assert.InRange(low, -6, -2.5);
    }

    [Theory]
    [InlineData("minmax")]
    [InlineData("percentile")]
    [InlineData("entropy")]
    [InlineData("mse")]
    public void Of_constant_or_floored_values_stays_within_them(string method)
    {
        var range = new ActivationRange(method, 0.999);

        Assert.Equal((0.0, 0.0), range.Of(Collect(0, 0, 0), double.NegativeInfinity));
        (double low, _) = range.Of(Collect(Bell(10_000)), -1);
        Assert.InRange(low, -1, 0);
    }

    [Fact]
    public void Of_mse_has_a_smaller_error_than_minmax_where_one_value_lies_far_out()
    {
        float[] values = Bell(1_000_000);
        values[3] = 25;
        ActivationStatistics statistics = Collect(values);
        double Error((double Low, double High) range)
        {
            QuantizedValue q = QuantizedValue.Of(range.Low, range.High);
            return values.Sum(v =>
            {
                double code = Math.Clamp(Math.Round(v / (double)q.Scale) + q.Zero, 0, 255);
                return Math.Pow(v - ((code - q.Zero) * q.Scale), 2);
            });
        }

        Assert.True(Error(new ActivationRange("mse", 1).Of(statistics, double.NegativeInfinity)) < 0.8 * Error(new ActivationRange("minmax", 1).Of(statistics, double.NegativeInfinity)));
    }

    [Theory]
    [InlineData(-1, 3, 64)]
    [InlineData(0, 5, 0)]
    [InlineData(2, 5, 0)]
    [InlineData(-4, -1, 255)]
    public void Value_holds_zero_exactly(double low, double high, int zero)
    {
        QuantizedValue value = QuantizedValue.Of(low, high);

        Assert.Equal(zero, value.Zero);
        Assert.Equal((float)((Math.Max(high, 0) - Math.Min(low, 0)) / 255), value.Scale);
    }

    [Fact]
    public void Value_with_offsets_takes_whole_steps_or_none()
    {
        QuantizedValue value = QuantizedValue.WithOffsets(-3, 9, -3)!.Value;
        double steps = 3.0 / value.Scale;

        Assert.InRange(Math.Abs(steps - Math.Round(steps)), 0, 1.0 / 32);
        Assert.InRange(value.Scale, 12f / 255, 12f / 255 * 1.0626f);
        Assert.Equal(0, value.CodeOf(-3));
        Assert.Null(QuantizedValue.WithOffsets(-300, 300, 1.0)); // A fraction of a step.
    }

    [Fact]
    public void Log_is_near_the_exact_one()
    {
        for (double x = 1e-12; x < 1e12; x *= 1.37)
        {
            Assert.Equal(Math.Log(x), DeterministicLog.Of(x), 1e-11);
        }
    }

    /// <summary>Sums of twelve uniform values less six: near N(0, 1).</summary>
    private static float[] Bell(int count)
    {
        var random = new Random(5);
        float[] values = new float[count];
        for (int i = 0; i < count; i++)
        {
            for (int k = 0; k < 12; k++)
            {
                values[i] += random.NextSingle() - 0.5f;
            }
        }

        return values;
    }

    private static ActivationStatistics Collect(params float[] values)
    {
        using var collector = new StatisticsCollector(new CalibrationTap("x", 1, SecondMoments: false));
        collector.Add(values, default, 1);
        return collector.Finish();
    }
}
