using System.Collections.Immutable;
using ModelPack.Compiler.Shapes;

namespace ModelPack.Compiler.Planning.Memory;

/// <summary>
/// Plans the memory of a run: values whose lives do not overlap share places of one arena. Values that only have another shape are no new bytes, and element-wise operators write over an input that nothing reads afterwards, as ONNX
/// Runtime does. Buffers are placed from the largest to the smallest, each in the smallest gap that is wide enough between those that live at the same time (greedy by size, arXiv 2001.03288).
/// </summary>
public static class MemoryPlanner
{
    /// <summary>Buffers begin at multiples of a cache line.</summary>
    public const int AlignmentBytes = 64;

    /// <summary>Their output is their input.</summary>
    private static readonly HashSet<string> Renaming = new(StringComparer.Ordinal) { "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Dropout" };

    /// <summary>They read every element once, before they write the one at its place.</summary>
    private static readonly HashSet<string> InPlace = new(StringComparer.Ordinal)
    {
        "Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sum", "Neg", "Abs", "Sqrt", "Exp", "Log", "Erf", "Reciprocal", "Floor", "Ceil", "Round", "Sigmoid", "Tanh", "Relu", "LeakyRelu", "Elu", "Selu", "Gelu", "HardSigmoid", "HardSwish",
        "Softplus", "Clip", "Not", "Sin", "Cos", "BatchNormalization",
    };

    /// <summary>Plans a graph.</summary>
    /// <param name="shapes">Its shapes at the sizes of the run.</param>
    public static MemoryPlan Plan(GraphShapes shapes)
    {
        Graph graph = shapes.Graph;
        int end = graph.Nodes.Length;
        Dictionary<string, int> lastUse = LastUses(graph);
        HashSet<string> constants = [.. graph.Initializers.Select(t => t.Name), .. graph.SparseInitializers.Select(t => t.Values.Name)];
        HashSet<string> callers = [.. graph.Inputs.Select(i => i.Name)];
        constants.ExceptWith(callers);
        var buffers = new List<Buffer>();
        var owners = new Dictionary<string, Buffer>(StringComparer.Ordinal);
        var unknown = new List<string>();
        long constantBytes = 0;
        for (int i = 0; i < end; i++)
        {
            Node node = graph.Nodes[i];
            bool folded = node.Inputs.All(n => n.Length == 0 || constants.Contains(n)) && !node.Subgraphs().Any() && !node.OpType.StartsWith("Random", StringComparison.Ordinal);
            long inner = node.Subgraphs().Where(shapes.Inner.ContainsKey).Select(g => Plan(shapes.Inner[g])).Select(p => p.ArenaBytes + p.ConstantBytes).DefaultIfEmpty().Max();
            if (inner > 0)
            {
                buffers.Add(new Buffer(inner, i) { Last = i });
            }

            foreach (string output in node.Outputs.Where(o => o.Length > 0))
            {
                long? bytes = shapes[output].Bytes;
                if (folded)
                {
                    constants.Add(output);
                    constantBytes += bytes ?? 0;
                }
                else if (bytes is not long length)
                {
                    unknown.Add(output);
                }
                else if (Taken(node, output, i, length) is Buffer taken)
                {
                    taken.Extend(output, Life(output, i));
                    owners[output] = taken;
                }
                else if (length > 0)
                {
                    var buffer = new Buffer(length, i);
                    buffer.Extend(output, Life(output, i));
                    owners[output] = buffer;
                    buffers.Add(buffer);
                }
            }
        }

        long arena = Place(buffers);
        (long peak, int at) = Peak(buffers, end);
        return new MemoryPlan
        {
            Buffers = [.. buffers.Select(b => new PlannedBuffer([.. b.Values], b.Offset, b.Length, b.First, b.Last))],
            ArenaBytes = arena,
            PeakBytes = peak,
            PeakNode = at < 0 ? "" : graph.Nodes[at].Handle,
            InputBytes = callers.Sum(n => shapes[n].Bytes ?? 0),
            ConstantBytes = constantBytes,
            Unknown = [.. unknown],
        };

        int Life(string value, int made) => Math.Max(made, lastUse.GetValueOrDefault(value, made));

        // The buffer of an input that the output may lie in.
        Buffer? Taken(Node node, string output, int position, long length)
        {
            if (node.Domain.Length > 0 || output != node.Outputs[0])
            {
                return null;
            }

            if (Renaming.Contains(node.OpType))
            {
                return owners.TryGetValue(node.Input(0), out Buffer? renamed) && renamed.Length == length ? renamed : null;
            }

            return !InPlace.Contains(node.OpType)
                ? null
                : node.Inputs.Select(n => owners.GetValueOrDefault(n)).FirstOrDefault(b => b is not null && b.Last == position && b.Length == length);
        }
    }

    /// <summary>Last reader of every value; the number of nodes for outputs of the graph.</summary>
    private static Dictionary<string, int> LastUses(Graph graph)
    {
        var last = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int i = 0; i < graph.Nodes.Length; i++)
        {
            foreach (string read in graph.Nodes[i].Inputs.Concat(graph.Nodes[i].Subgraphs().SelectMany(GraphNames.Free)))
            {
                last[read] = i;
            }
        }

        foreach (ValueInfo output in graph.Outputs)
        {
            last[output.Name] = graph.Nodes.Length;
        }

        return last;
    }

    /// <summary>Gives every buffer its place; returns where the last one ends.</summary>
    private static long Place(List<Buffer> buffers)
    {
        var placed = new List<Buffer>();
        long end = 0;
        foreach (Buffer buffer in buffers.OrderByDescending(b => b.Length).ThenBy(b => b.First))
        {
            long best = -1;
            long bestGap = long.MaxValue;
            long free = 0;
            foreach (Buffer other in placed.Where(p => p.First <= buffer.Last && buffer.First <= p.Last))
            {
                long gap = other.Offset - free;
                if (gap >= buffer.Length && gap < bestGap)
                {
                    (best, bestGap) = (free, gap);
                }

                free = Math.Max(free, Align(other.Offset + other.Length));
            }

            buffer.Offset = best < 0 ? free : best;
            end = Math.Max(end, buffer.Offset + buffer.Length);
            int at = placed.FindIndex(p => p.Offset > buffer.Offset);
            placed.Insert(at < 0 ? placed.Count : at, buffer);
        }

        return end;
    }

    private static (long Bytes, int Node) Peak(List<Buffer> buffers, int nodes)
    {
        long[] change = new long[nodes + 2];
        foreach (Buffer buffer in buffers)
        {
            change[buffer.First] += buffer.Length;
            change[buffer.Last + 1] -= buffer.Length;
        }

        (long most, int at) = (0, -1);
        long now = 0;
        for (int i = 0; i < nodes; i++)
        {
            now += change[i];
            if (now > most)
            {
                (most, at) = (now, i);
            }
        }

        return (most, at);
    }

    private static long Align(long offset) => (offset + AlignmentBytes - 1) / AlignmentBytes * AlignmentBytes;

    private sealed class Buffer(long length, int first)
    {
        public List<string> Values { get; } = [];

        public long Length => length;

        public int First { get; } = first;

        public int Last { get; set; } = first;

        public long Offset { get; set; }

        public void Extend(string value, int last)
        {
            Values.Add(value);
            Last = Math.Max(Last, last);
        }
    }
}
