using System.Collections.Immutable;

namespace ModelPack.Toolchain;

/// <summary>Disjoint sets of the numbers from 0.</summary>
/// <param name="count">How many numbers; each is a set of its own at first.</param>
internal sealed class Partition(int count)
{
    private readonly int[] _parents = [.. Enumerable.Range(0, count)];

    /// <summary>Makes the sets of two numbers one.</summary>
    public void Union(int a, int b)
    {
        (a, b) = (Find(a), Find(b));
        _parents[Math.Max(a, b)] = Math.Min(a, b);
    }

    /// <summary>The smallest number of a number's set.</summary>
    public int Find(int a)
    {
        while (_parents[a] != a)
        {
            a = _parents[a] = _parents[_parents[a]];
        }

        return a;
    }

    /// <summary>All sets, by their smallest numbers.</summary>
    public IEnumerable<ImmutableArray<int>> Sets() => Enumerable.Range(0, _parents.Length).GroupBy(Find).Select(g => g.ToImmutableArray());
}
