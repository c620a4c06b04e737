using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Choosing one encoding per tensor for a number of bytes.</summary>
public sealed class AllocationTests
{
    [Fact]
    public void Within_smallCases_isNearTheBestOfAll()
    {
        for (ulong seed = 0; seed < 40; seed++)
        {
            TuneChoice[][] choices = Random(seed, tensors: 5, candidates: 4);
            var allocation = new Allocation(choices);
            long most = choices.Sum(c => c.Max(x => x.Bytes));
            for (int i = 0; i <= 10; i++)
            {
                long budget = allocation.LeastBytes + ((most - allocation.LeastBytes) * i / 10);
                TuneChoice[] found = allocation.Within(budget);
                double best = All(choices).Where(c => c.Sum(x => x.Bytes) <= budget).Min(c => c.Sum(x => x.Loss));

                Assert.InRange(found.Sum(c => c.Bytes), 0, budget);

                // Points between the hull's are out of reach of Lagrangian relaxation: at most one tensor's step is lost.
                double step = choices.Max(c => c.Max(x => x.Loss) - c.Min(x => x.Loss));
                Assert.InRange(found.Sum(c => c.Loss), best - 1e-12, best + step);
            }
        }
    }

    [Fact]
    public void At_walksFromTheSmallestToTheBest_lossFallingAtEveryPoint()
    {
        TuneChoice[][] choices = Random(7, tensors: 9, candidates: 6);
        var allocation = new Allocation(choices);
        double[] losses = [.. Enumerable.Range(0, allocation.Points).Select(p => allocation.At(p).Sum(c => c.Loss))];
        long[] bytes = [.. Enumerable.Range(0, allocation.Points).Select(p => allocation.At(p).Sum(c => c.Bytes))];

        Assert.Equal(allocation.LeastBytes, bytes[0]);
        Assert.Equal(choices.Sum(c => c.Min(x => x.Loss)), losses[^1], 12);
        for (int p = 1; p < losses.Length; p++)
        {
            Assert.True(losses[p] < losses[p - 1] && bytes[p] > bytes[p - 1], $"point {p}");
        }
    }

    [Fact]
    public void Within_fewerBytesThanTheSmallest_throws() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new Allocation([[new TuneChoice(0, 10, 1)]]).Within(9));

    private static TuneChoice[][] Random(ulong seed, int tensors, int candidates)
    {
        var random = new SplitMix(seed);
        return
        [
            .. Enumerable.Range(0, tensors).Select(_ =>
            {
                double importance = 1 + (random.Next() % 1000);
                long size = 10 + (long)(random.Next() % 90);
                return Enumerable.Range(0, candidates).Select(c => new TuneChoice(c, size * (c + 1), importance * Math.Pow(0.25, c) * (1 + (random.Next() % 100 / 200.0)))).Append(new TuneChoice(-1, size * 16, 0)).ToArray();
            }),
        ];
    }

    private static IEnumerable<TuneChoice[]> All(TuneChoice[][] choices)
    {
        int total = choices.Aggregate(1, (n, c) => n * c.Length);
        for (int i = 0; i < total; i++)
        {
            int rest = i;
            yield return [.. choices.Select(c =>
            {
                TuneChoice choice = c[rest % c.Length];
                rest /= c.Length;
                return choice;
            })];
        }
    }
}
