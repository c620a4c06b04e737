namespace ModelPack.Toolchain;

/// <summary>A way to store a tensor.</summary>
/// <param name="Candidate">Index of the candidate encoding; -1: as it is.</param>
/// <param name="Bytes">Bytes before lossless coding.</param>
/// <param name="Loss">What it adds to the loss of the model, as far as is known.</param>
internal readonly record struct TuneChoice(int Candidate, long Bytes, double Loss);

/// <summary>
/// Chooses one encoding per tensor so that the sum of losses is least for a number of bytes: Lagrangian relaxation over the lower convex hulls. For tiny losses of independent tensors sums are right to second
/// order; what the whole costs is measured afterwards.
/// </summary>
internal sealed class Allocation
{
    private readonly TuneChoice[][] _hulls;
    private readonly (int Tensor, int Level)[] _steps;

    /// <param name="choices">Per tensor, in any order.</param>
    public Allocation(IReadOnlyList<IReadOnlyList<TuneChoice>> choices)
    {
        _hulls = [.. choices.Select(Hull)];

        // A step from one point of a hull to the next, the most loss per byte first. Along a hull slopes fall, so the steps of a tensor stay in order.
        _steps =
        [
            .. _hulls.SelectMany((hull, tensor) => Enumerable.Range(1, hull.Length - 1).Select(level => (Tensor: tensor, Level: level, Slope: Slope(hull[level - 1], hull[level]))))
                .OrderByDescending(s => s.Slope).ThenBy(s => s.Tensor).ThenBy(s => s.Level).Select(s => (s.Tensor, s.Level)),
        ];
    }

    /// <summary>Bytes of the smallest choice.</summary>
    public long LeastBytes => _hulls.Sum(h => h[0].Bytes);

    /// <summary>Number of points on the way from the smallest to the largest.</summary>
    public int Points => _steps.Length + 1;

    /// <summary>The choices within a number of bytes.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than <see cref="LeastBytes"/>.</exception>
    public TuneChoice[] Within(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bytes, LeastBytes);
        int[] levels = new int[_hulls.Length];
        long left = bytes - LeastBytes;
        foreach ((int tensor, int level) in _steps)
        {
            // A step that does not fit blocks the later ones of its tensor; smaller tensors may still use what is left.
            long more = _hulls[tensor][level].Bytes - _hulls[tensor][level - 1].Bytes;
            if (levels[tensor] == level - 1 && more <= left)
            {
                levels[tensor] = level;
                left -= more;
            }
        }

        return [.. _hulls.Select((hull, i) => hull[levels[i]])];
    }

    /// <summary>The choices after some of the steps.</summary>
    public TuneChoice[] At(int point)
    {
        int[] levels = new int[_hulls.Length];
        foreach ((int tensor, int level) in _steps.AsSpan(0, point))
        {
            levels[tensor] = level;
        }

        return [.. _hulls.Select((hull, i) => hull[levels[i]])];
    }

    /// <summary>The lower convex hull from the smallest choice to the one of least loss.</summary>
    private static TuneChoice[] Hull(IReadOnlyList<TuneChoice> choices)
    {
        var hull = new List<TuneChoice>();
        foreach (TuneChoice choice in choices.OrderBy(c => c.Bytes).ThenBy(c => c.Loss).ThenBy(c => c.Candidate))
        {
            if (hull.Count > 0 && choice.Loss >= hull[^1].Loss)
            {
                continue;
            }

            while (hull.Count > 1 && Slope(hull[^2], hull[^1]) <= Slope(hull[^1], choice))
            {
                hull.RemoveAt(hull.Count - 1);
            }

            hull.Add(choice);
        }

        return [.. hull];
    }

    private static double Slope(TuneChoice from, TuneChoice to) => (from.Loss - to.Loss) / Math.Max(1, to.Bytes - from.Bytes);
}
