using System.Collections.Immutable;

namespace ModelPack.Compiler;

/// <summary>Puts nodes after the nodes they read from, keeping their order where it is free.</summary>
public static class TopologicalOrder
{
    /// <returns>The same array when it is in order already.</returns>
    /// <exception cref="ModelPackException">MP2012: the nodes form a cycle.</exception>
    public static ImmutableArray<Node> Sort(ImmutableArray<Node> nodes)
    {
        var producers = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int i = 0; i < nodes.Length; i++)
        {
            foreach (string output in nodes[i].Outputs)
            {
                if (output.Length > 0)
                {
                    producers.TryAdd(output, i);
                }
            }
        }

        var dependents = new List<int>[nodes.Length];
        int[] waiting = new int[nodes.Length];
        bool sorted = true;
        for (int i = 0; i < nodes.Length; i++)
        {
            foreach (string name in Reads(nodes[i]))
            {
                if (producers.TryGetValue(name, out int p))
                {
                    sorted &= p < i;
                    (dependents[p] ??= []).Add(i);
                    waiting[i]++;
                }
            }
        }

        return sorted ? nodes : Kahn(nodes, dependents, waiting);
    }

    /// <summary>Inputs of a node and the outer values its subgraphs read.</summary>
    internal static IEnumerable<string> Reads(Node node) => node.Inputs.Concat(node.Subgraphs().SelectMany(GraphNames.Free));

    private static ImmutableArray<Node> Kahn(ImmutableArray<Node> nodes, List<int>[] dependents, int[] waiting)
    {
        var ready = new PriorityQueue<int, int>();
        for (int i = 0; i < nodes.Length; i++)
        {
            if (waiting[i] == 0)
            {
                ready.Enqueue(i, i);
            }
        }

        var order = ImmutableArray.CreateBuilder<Node>(nodes.Length);
        while (ready.TryDequeue(out int i, out _))
        {
            order.Add(nodes[i]);
            foreach (int d in dependents[i] ?? [])
            {
                if (--waiting[d] == 0)
                {
                    ready.Enqueue(d, d);
                }
            }
        }

        if (order.Count < nodes.Length)
        {
            Node stuck = nodes[Array.FindIndex(waiting, w => w > 0)];
            throw new ModelPackException(ErrorCodes.GraphNotOrdered, $"node '{stuck.Handle}' depends on its own result");
        }

        return order.MoveToImmutable();
    }
}
