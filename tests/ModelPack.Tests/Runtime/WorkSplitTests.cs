using System.Globalization;
using ModelPack.OrtOps;
using Xunit;

namespace ModelPack.Tests.Runtime;

/// <summary>How products are cut for threads.</summary>
public sealed class WorkSplitTests
{
    [Fact]
    public void Pieces_coverAllPartsOnce()
    {
        foreach (long parts in new long[] { 1, 2, 3, 7, 8, 9, 31, 64, 1000, 1L << 40 })
        {
            for (int pieces = 1; pieces <= 64; pieces++)
            {
                Assert.Equal(0, WorkSplit.Begin(parts, 0, pieces));
                Assert.Equal(parts, WorkSplit.Begin(parts, pieces, pieces));
                Assert.All(Enumerable.Range(0, pieces), p => Assert.True(WorkSplit.Begin(parts, p, pieces) <= WorkSplit.Begin(parts, p + 1, pieces)));
            }
        }
    }

    [Theory]
    [InlineData(1000, 1e4, 2, 1)]
    [InlineData(1000, (1 << 19) - 1.0, 2, 1)]
    [InlineData(1000, 1 << 19, 2, 4)]
    [InlineData(3, 1 << 19, 2, 3)]
    [InlineData(1000, 5.9 * (1 << 17), 2, 5)]
    [InlineData(1000, 1e9, 2, 8)]
    [InlineData(5, 1e9, 2, 5)]
    [InlineData(1000, 1e18, 16, 64)]
    public void Pieces_areAsManyAsAreWorthIt(long parts, double work, int threads, int expected) => Assert.Equal(expected, WorkSplit.Pieces(parts, work, threads));

    /// <summary>Threads as the pool has them: each takes the next piece of its own share, then what the others have left. Equal cores finish together; slow ones hold nobody up for long.</summary>
    [Theory]
    [InlineData(1.0, "1 1")]
    [InlineData(1.06, "1 0.5")]
    [InlineData(1.09, "1 0.3")]
    [InlineData(1.0, "1 1 1 1")]
    [InlineData(1.08, "1 1 0.5 0.5")]
    [InlineData(1.08, "1 1 0.6 0.6 0.6 0.6 0.6 0.6")]
    public void Run_onCoresOfAnySpeed_takesLittleLongerThanTheBestSplit(double most, string cores)
    {
        double[] speeds = [.. cores.Split(' ').Select(c => double.Parse(c, CultureInfo.InvariantCulture))];
        const long parts = 100_000;
        int pieces = WorkSplit.Pieces(parts, 1e12, speeds.Length);
        int share = pieces / speeds.Length;
        var left = Enumerable.Range(0, speeds.Length).Select(t => new Queue<long>(Enumerable.Range(t * share, share).Select(p => WorkSplit.Begin(parts, p + 1, pieces) - WorkSplit.Begin(parts, p, pieces)))).ToArray();
        double[] busy = new double[speeds.Length];
        while (left.Any(q => q.Count > 0))
        {
            int free = Array.IndexOf(busy, busy.Min());
            Queue<long> next = Enumerable.Range(0, speeds.Length).Select(i => left[(free + i) % speeds.Length]).First(q => q.Count > 0);
            busy[free] += next.Dequeue() / speeds[free];
        }

        Assert.InRange(busy.Max() / (parts / speeds.Sum()), 1 - 1e-9, most + 1e-3);
    }
}
