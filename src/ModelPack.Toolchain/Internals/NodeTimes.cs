using System.Globalization;
using System.Text.Json;

namespace ModelPack.Toolchain;

/// <summary>A node as ONNX Runtime ran it.</summary>
/// <param name="Name">Its name; of a node without one the operator and its index.</param>
/// <param name="Op">Its operator.</param>
/// <param name="Index">Its index: of nodes that are no constant, in the order of the graph; later ones were made by optimisations.</param>
/// <param name="Seconds">Median over the runs.</param>
internal sealed record NodeTime(string Name, string Op, int Index, double Seconds);

/// <summary>What ONNX Runtime's profiler wrote of several runs.</summary>
/// <param name="Nodes">Nodes of the main graph. Those inside loops and branches are part of the node that holds them.</param>
/// <param name="Runs">Runs that were counted.</param>
/// <param name="RunSeconds">Their median.</param>
internal sealed record NodeTimes(IReadOnlyList<NodeTime> Nodes, int Runs, double RunSeconds)
{
    private const string KernelTime = "_kernel_time";

    /// <summary>Reads a profile: an array of events, one in a line.</summary>
    /// <param name="profile">The text.</param>
    /// <param name="warmUps">First runs that are not counted.</param>
    /// <param name="path">The model, for errors.</param>
    /// <exception cref="ModelPackException">MP5005: it is no profile, or holds no more runs.</exception>
    public static NodeTimes Read(TextReader profile, int warmUps, string path)
    {
        var runs = new List<Event>();
        var nodes = new List<Event>();
        int number = 0;
        while (profile.ReadLine() is string line)
        {
            number++;
            ReadOnlySpan<char> text = line.AsSpan().Trim();
            if (text is "[" or "]" or "")
            {
                continue;
            }

            try
            {
                using JsonDocument document = JsonDocument.Parse(text.TrimEnd(',').ToString());
                if (Parse(document.RootElement) is Event found)
                {
                    (found.Op is null ? runs : nodes).Add(found);
                }
            }
            catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
            {
                throw new ModelPackException(ErrorCodes.RunFailed, string.Create(CultureInfo.InvariantCulture, $"ONNX Runtime's profile cannot be read in line {number}: {e.Message}"), path, innerException: e);
            }
        }

        runs.Sort((a, b) => a.Start.CompareTo(b.Start));
        if (runs.Count <= warmUps)
        {
            throw new ModelPackException(ErrorCodes.RunFailed, "ONNX Runtime's profile holds no run", path);
        }

        runs.RemoveRange(0, warmUps);
        var times = new Dictionary<(string Name, int Index), (string Op, double[] Runs)>();
        foreach ((int run, Event node) in Outermost(nodes, runs))
        {
            if (!times.TryGetValue((node.Name, node.Index), out (string Op, double[] Runs) time))
            {
                time = (node.Op!, new double[runs.Count]);
                times.Add((node.Name, node.Index), time);
            }

            time.Runs[run] += node.Microseconds * 1e-6;
        }

        return new NodeTimes(
            [.. times.Select(t => new NodeTime(t.Key.Name, t.Value.Op, t.Key.Index, Median(t.Value.Runs)))],
            runs.Count,
            Median([.. runs.Select(r => r.Microseconds * 1e-6)]));
    }

    /// <summary>Events of counted runs that do not lie within another, with the run's position.</summary>
    private static IEnumerable<(int Run, Event Node)> Outermost(List<Event> nodes, List<Event> runs)
    {
        int run = 0;
        double end = double.MinValue;
        foreach (Event node in nodes.OrderBy(n => n.Start).ThenByDescending(n => n.Microseconds))
        {
            while (run < runs.Count && node.Start > runs[run].End)
            {
                run++;
            }

            if (run < runs.Count && node.Start >= runs[run].Start && node.Start >= end)
            {
                end = node.End;
                yield return (run, node);
            }
        }
    }

    /// <summary>A run (without an operator) or what a node computed; null for other events.</summary>
    private static Event? Parse(JsonElement json)
    {
        string name = json.GetProperty("name").GetString() ?? "";
        string? category = json.GetProperty("cat").GetString();
        bool isRun = category == "Session" && name == "model_run";
        if (!isRun && !(category == "Node" && name.EndsWith(KernelTime, StringComparison.Ordinal)))
        {
            return null;
        }

        double start = json.GetProperty("ts").GetDouble();
        double duration = json.GetProperty("dur").GetDouble();
        if (isRun)
        {
            return new Event(name, null, -1, start, duration);
        }

        JsonElement arguments = json.GetProperty("args");
        string? index = arguments.TryGetProperty("node_index", out JsonElement position) ? position.GetString() : null;
        return new Event(
            name[..^KernelTime.Length],
            arguments.GetProperty("op_name").GetString() ?? "",
            int.TryParse(index, NumberStyles.None, CultureInfo.InvariantCulture, out int at) ? at : -1,
            start,
            duration);
    }

    private static double Median(double[] values)
    {
        Array.Sort(values);
        int middle = values.Length / 2;
        return (values.Length & 1) != 0 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
    }

    /// <summary>Times in microseconds.</summary>
    private sealed record Event(string Name, string? Op, int Index, double Start, double Microseconds)
    {
        public double End => Start + Microseconds;
    }
}
