using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace ModelPack.Benchmarks;

/// <summary>Minimum run times of a few actions, as a Markdown table.</summary>
/// <remarks>
/// An action works through its data in slices of about a millisecond, short enough to be left undisturbed now and then on a shared machine;
/// the data as a whole is larger than the caches, so every slice comes from memory.
/// </remarks>
internal sealed class QuickTable
{
    private const double WarmMilliseconds = 250;
    private const double MeasuredMilliseconds = 400;

    private readonly List<(string Name, string What, double GBps, double NsPerValue)> _rows = [];

    /// <summary>Runs all slices in turn until warm, then for a while, and takes the shortest run of a slice.</summary>
    /// <param name="name">What runs.</param>
    /// <param name="what">Which bytes are counted.</param>
    /// <param name="bytes">Bytes of one slice.</param>
    /// <param name="values">Values of one slice.</param>
    /// <param name="slices">Number of slices.</param>
    /// <param name="action">Runs one slice.</param>
    public void Add(string name, string what, long bytes, long values, int slices, Action<int> action)
    {
        _ = Shortest(WarmMilliseconds, slices, action);
        double seconds = Shortest(MeasuredMilliseconds, slices, action);
        _rows.Add((name, what, bytes / seconds / 1e9, seconds * 1e9 / values));
    }

    private static double Shortest(double milliseconds, int slices, Action<int> action)
    {
        double best = double.MaxValue;
        long start = Stopwatch.GetTimestamp();
        for (int slice = 0; slice < 2 * slices || Stopwatch.GetElapsedTime(start).TotalMilliseconds < milliseconds; slice++)
        {
            long begin = Stopwatch.GetTimestamp();
            action(slice % slices);
            best = Math.Min(best, Stopwatch.GetElapsedTime(begin).TotalSeconds);
        }

        return best;
    }

    public string ToMarkdown()
    {
        var text = new StringBuilder("| what runs | bytes counted | GB/s | ns per value |\n|---|---|---|---|\n");
        foreach ((string name, string what, double gbps, double ns) in _rows)
        {
            text.Append(CultureInfo.InvariantCulture, $"| {name} | {what} | {gbps:F2} | {ns:F3} |\n");
        }

        return text.ToString().TrimEnd('\n');
    }
}
