using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Removes what no output of a graph needs.</summary>
internal static class DeadCode
{
    /// <summary>
    /// Drops nodes none of whose outputs is needed (nodes without outputs stay) and unread initializers that are no inputs. Subgraphs are not
    /// changed. The same graph when nothing is dead, and for graphs without outputs: there nothing says what is needed.
    /// </summary>
    public static Graph Remove(Graph graph)
    {
        if (graph.Outputs.IsEmpty)
        {
            return graph;
        }

        var needed = graph.Outputs.Select(v => v.Name).ToHashSet(StringComparer.Ordinal);
        var editor = new GraphEditor(graph);
        for (int i = graph.Nodes.Length - 1; i >= 0; i--)
        {
            Node node = graph.Nodes[i];
            if (node.Outputs.Any(o => o.Length > 0) && !node.Outputs.Any(needed.Contains))
            {
                editor.RemoveNode(i);
                continue;
            }

            needed.UnionWith(node.Inputs.Where(n => n.Length > 0));
            needed.UnionWith(node.Subgraphs().SelectMany(GraphNames.Free));
        }

        needed.UnionWith(graph.Inputs.Select(v => v.Name));
        foreach (string name in graph.Initializers.Select(t => t.Name).Concat(graph.SparseInitializers.Select(t => t.Values.Name)))
        {
            if (!needed.Contains(name))
            {
                editor.RemoveInitializer(name);
            }
        }

        return editor.Build();
    }
}
