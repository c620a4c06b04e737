using ModelPack.Compiler;

namespace ModelPack.Toolchain;

/// <summary>
/// Finds what was predicted for the nodes that ONNX Runtime ran: by their names, where they have none by their position, and of nodes that ONNX Runtime made of several by what they compute, for which its own graph says between which values they lie.
/// </summary>
internal sealed class NodePairing
{
    /// <summary>How names end that it makes of a value, before a number that makes them unique.</summary>
    private const string Blocked = "_nchwc";

    private readonly Graph _graph;
    private readonly IReadOnlyList<NodeTime> _times;

    /// <summary>Position of the node that makes a value.</summary>
    private readonly Dictionary<string, int> _producers = new(StringComparer.Ordinal);

    /// <summary>By position in the graph, which of the measured nodes computes a node; -1 for none.</summary>
    private readonly int[] _ranAs;

    private NodePairing(Graph graph, IReadOnlyList<NodeTime> times)
    {
        _graph = graph;
        _times = times;
        _ranAs = new int[graph.Nodes.Length];
        Array.Fill(_ranAs, -1);
        for (int i = 0; i < graph.Nodes.Length; i++)
        {
            foreach (string output in graph.Nodes[i].Outputs.Where(v => v.Length > 0))
            {
                _producers[output] = i;
            }
        }
    }

    /// <summary>By position in the graph, which of the measured nodes computes a node; -1 for nodes that ONNX Runtime does not run.</summary>
    /// <param name="graph">The graph that ONNX Runtime was given.</param>
    /// <param name="times">What it ran.</param>
    /// <param name="optimized">The graph that it made of it; null where it is not known.</param>
    public static IReadOnlyList<int> Find(Graph graph, IReadOnlyList<NodeTime> times, Graph? optimized)
    {
        var pairing = new NodePairing(graph, times);
        int[] unnamed = pairing.ByName();
        pairing.ByDecoratedName(unnamed);
        if (optimized is not null)
        {
            pairing.ByValues(optimized);
        }

        return pairing._ranAs;
    }

    /// <summary>Rows of what was measured and what was predicted, the longest first, and the predictions of which nothing ran.</summary>
    /// <param name="times">What ONNX Runtime ran.</param>
    /// <param name="ranAs">What <see cref="Find"/> found.</param>
    /// <param name="predicted">What was predicted.</param>
    public static (IReadOnlyList<BenchedNode> Rows, IReadOnlyList<PredictedNodes> NotRun) Rows(IReadOnlyList<NodeTime> times, IReadOnlyList<int> ranAs, IReadOnlyList<PredictedNodes> predicted)
    {
        var sets = new Partition(times.Count);
        int[][] ran = [.. predicted.Select(p => p.Nodes.Select(i => ranAs[i]).Where(t => t >= 0).Distinct().ToArray())];
        foreach (int[] together in ran)
        {
            foreach (int time in together)
            {
                sets.Union(together[0], time);
            }
        }

        ILookup<int, PredictedNodes> bySet = predicted.Zip(ran).Where(p => p.Second.Length > 0).ToLookup(p => sets.Find(p.Second[0]), p => p.First);
        double all = times.Sum(t => t.Seconds);
        return (
            [
                .. sets.Sets().Select(set => Row([.. set.Select(t => times[t]).OrderByDescending(t => t.Seconds)], [.. bySet[set[0]]], all)).OrderByDescending(r => r.MeasuredSeconds).ThenBy(r => r.Name, StringComparer.Ordinal),
            ],
            [.. predicted.Zip(ran).Where(p => p.Second.Length == 0 && p.First.Seconds > 0).Select(p => p.First)]);
    }

    private static BenchedNode Row(NodeTime[] parts, PredictedNodes[] predicted, double all)
    {
        double measured = parts.Sum(p => p.Seconds);
        string kernels = string.Join(", ", predicted.Select(p => p.Kernel).OfType<string>().Distinct(StringComparer.Ordinal));
        return new BenchedNode(
            parts[0].Name,
            parts[0].Op,
            kernels.Length > 0 ? kernels : null,
            predicted.Length == 0 || predicted.Any(p => p.Seconds is null) ? null : predicted.Sum(p => p.Seconds),
            measured,
            all > 0 ? measured / all : 0,
            parts.Length > 1 ? [.. parts.Select(p => p.Name)] : []);
    }

    /// <summary>Nodes that run as they are. Gives the measured ones that are none of these.</summary>
    private int[] ByName()
    {
        // Indices of ONNX Runtime do not count constants, which are weights to it.
        int[] indexed = [.. Enumerable.Range(0, _graph.Nodes.Length).Where(i => !_graph.Nodes[i].Is("Constant"))];
        Dictionary<string, int> unique = Enumerable.Range(0, _graph.Nodes.Length).Where(i => _graph.Nodes[i].Name.Length > 0)
            .GroupBy(i => _graph.Nodes[i].Name, StringComparer.Ordinal).Where(g => g.Count() == 1).ToDictionary(g => g.Key, g => g.First(), StringComparer.Ordinal);
        var left = new List<int>();
        for (int t = 0; t < _times.Count; t++)
        {
            NodeTime time = _times[t];
            int at = time.Index >= 0 && time.Index < indexed.Length ? indexed[time.Index] : -1;
            bool isAt = at >= 0 && _graph.Nodes[at].OpType == time.Op && (_graph.Nodes[at].Name.Length == 0 || _graph.Nodes[at].Name == time.Name);
            if (unique.TryGetValue(time.Name, out int named))
            {
                _ranAs[named] = t;
            }
            else if (isAt && _ranAs[at] < 0)
            {
                _ranAs[at] = t;
            }
            else
            {
                left.Add(t);
            }
        }

        return [.. left];
    }

    /// <summary>Nodes that ONNX Runtime made of one and named after it or what it gives: <c>fused conv</c>, <c>y_nchwc</c>.</summary>
    private void ByDecoratedName(int[] left)
    {
        int[] others = [.. left.Where(t => !ByOutput(t))];
        int[] open = [.. Enumerable.Range(0, _graph.Nodes.Length).Where(i => _graph.Nodes[i].Name.Length > 0 && _ranAs[i] < 0).OrderByDescending(i => _graph.Nodes[i].Name.Length)];
        foreach (int t in others)
        {
            if (open.Where(i => _ranAs[i] < 0 && IsNamedAfter(_times[t].Name, _graph.Nodes[i].Name)).Select(i => (int?)i).FirstOrDefault() is int found)
            {
                _ranAs[found] = t;
            }
        }
    }

    /// <summary>Convolutions and poolings in ONNX Runtime's own order of channels.</summary>
    private bool ByOutput(int t)
    {
        string name = _times[t].Name;
        int end = name.LastIndexOf(Blocked, StringComparison.Ordinal);
        if (end <= 0 || !_producers.TryGetValue(name[..end], out int at) || _ranAs[at] >= 0)
        {
            return false;
        }

        _ranAs[at] = t;
        return true;
    }

    private static bool IsNamedAfter(string name, string original) =>
        (name.StartsWith(original, StringComparison.Ordinal) && name.Length > original.Length && !char.IsLetterOrDigit(name[original.Length]))
        || (name.EndsWith(original, StringComparison.Ordinal) && name.Length > original.Length && name[^(original.Length + 1)] == ' ');

    /// <summary>Nodes between what a node of ONNX Runtime's graph gives and what it takes that run as nothing else.</summary>
    private void ByValues(Graph optimized)
    {
        Dictionary<string, Node> nodes = optimized.Nodes.Where(n => n.Name.Length > 0).GroupBy(n => n.Name, StringComparer.Ordinal).Where(g => g.Count() == 1).ToDictionary(g => g.Key, g => g.First(), StringComparer.Ordinal);
        HashSet<string> made = [.. optimized.Nodes.SelectMany(n => n.Outputs), .. optimized.Initializers.Select(i => i.Name)];
        for (int t = 0; t < _times.Count; t++)
        {
            if (!nodes.TryGetValue(_times[t].Name, out Node? node))
            {
                continue;
            }

            var pending = new Stack<string>(node.Outputs);
            var seen = new HashSet<string>(node.Inputs, StringComparer.Ordinal);
            while (pending.TryPop(out string? value))
            {
                bool ends = made.Contains(value) && !node.Outputs.Contains(value, StringComparer.Ordinal);
                if (!seen.Add(value) || ends || !_producers.TryGetValue(value, out int at) || (_ranAs[at] >= 0 && _ranAs[at] != t))
                {
                    continue;
                }

                _ranAs[at] = t;
                foreach (string input in _graph.Nodes[at].Inputs)
                {
                    pending.Push(input);
                }
            }
        }
    }
}
