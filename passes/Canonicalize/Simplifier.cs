using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Removes nodes that pass their input through and whatever nothing needs, at every depth, until nothing changes.</summary>
/// <param name="opset">Version of the standard operator set.</param>
/// <param name="names">All names taken so far, in all graphs.</param>
/// <param name="cancellation">Checked once per round.</param>
internal sealed class Simplifier(long opset, HashSet<string> names, CancellationToken cancellation)
{
    public Graph Run(Graph graph)
    {
        while (true)
        {
            cancellation.ThrowIfCancellationRequested();
            Graph next = DeadCode.Remove(Bypass(InSubgraphs(graph)));
            if (ReferenceEquals(next, graph))
            {
                return graph;
            }

            graph = next;
        }
    }

    private Graph InSubgraphs(Graph graph)
    {
        var editor = new GraphEditor(graph, names);
        for (int i = 0; i < graph.Nodes.Length; i++)
        {
            // Operators outside the standard domain may give their subgraphs a meaning of their own.
            Node node = graph.Nodes[i];
            ImmutableArray<NodeAttribute> attributes = node.Domain.Length > 0 ? node.Attributes : GraphNames.MapSubgraphs(node.Attributes, Run);
            if (attributes != node.Attributes)
            {
                editor.ReplaceNode(i, node with { Attributes = attributes });
            }
        }

        return editor.Build();
    }

    /// <summary>
    /// <code>
    /// x -> NoOp -> y, y read by nodes          =>  they read x
    /// node -> x -> NoOp -> y, y graph output   =>  node -> y
    /// </code>
    /// A NoOp between an input, initializer, outer value or other output and an output stays: the output needs a maker of its name.
    /// </summary>
    private Graph Bypass(Graph graph)
    {
        var index = new GraphIndex(graph);
        var noOps = new NoOps(index, opset);
        var editor = new GraphEditor(graph, names);
        var touched = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < graph.Nodes.Length; i++)
        {
            Node node = graph.Nodes[i];
            if (!noOps.IsNoOp(node))
            {
                continue;
            }

            string from = node.Inputs[0];
            string to = node.Outputs[0];
            if (touched.Contains(from) || touched.Contains(to))
            {
                continue;
            }

            if (!index.IsOutput(to))
            {
                editor.RemoveNode(i);
                editor.RedirectUses(to, from);
                touched.Add(from);
                touched.Add(to);
            }
            else if (index.ProducerIndex(from) >= 0 && !index.IsOutput(from))
            {
                editor.RemoveNode(i);
                editor.RenameValue(from, to);
                touched.Add(from);
                touched.Add(to);
            }
        }

        return editor.Build();
    }
}
