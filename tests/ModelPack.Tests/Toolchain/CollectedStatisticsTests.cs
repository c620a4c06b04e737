using ModelPack.Compiler.Calibration;
using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

public sealed class CollectedStatisticsTests
{
    private const int K = 40;

    [Theory]
    [InlineData(2 * K * K * 4, false)]
    [InlineData((2 * K * K * 4) - 1, true)]
    [InlineData(0, true)]
    public void Of_largeMatrices_haveTheSameContentOnDisk_untilDisposed(long mostBytes, bool moved)
    {
        ActivationStatistics collected = Collect();
        byte[] moments = collected.SecondMoments!.ToArray();
        byte[] drift = collected.Drift!.ToArray();
        var statistics = CollectedStatistics.Of([collected], mostBytes);
        ActivationStatistics kept = statistics["x"];

        Assert.Equal(moved, !ReferenceEquals(collected, kept));
        Assert.Equal(moments, kept.SecondMoments!.ToArray());
        Assert.Equal(drift, kept.Drift!.ToArray());
        Assert.Equal((collected.Rows, collected.Tap), (kept.Rows, kept.Tap));
        Assert.Equal(collected.Maximum.ToArray(), kept.Maximum.ToArray());
        statistics.Dispose();
        Assert.Throws<ObjectDisposedException>(() => kept.SecondMoments!.ToArray());
    }

    private static ActivationStatistics Collect()
    {
        var collector = new StatisticsCollector(new CalibrationTap("x", K, SecondMoments: true, Drift: true));
        collector.Add(Values.Weights(1, 30 * K), Values.Weights(2, 30 * K), 1);
        return collector.Finish();
    }
}
