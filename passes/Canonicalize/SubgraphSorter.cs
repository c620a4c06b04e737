using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Topological order at every depth.</summary>
internal static class SubgraphSorter
{
    public static Graph Sort(Graph graph)
    {
        var nodes = TopologicalOrder.Sort(graph.Nodes);
        bool changed = nodes != graph.Nodes;
        var builder = nodes.ToBuilder();
        for (int i = 0; i < builder.Count; i++)
        {
            var attributes = GraphNames.MapSubgraphs(builder[i].Attributes, Sort);
            if (attributes != builder[i].Attributes)
            {
                builder[i] = builder[i] with { Attributes = attributes };
                changed = true;
            }
        }

        return changed ? graph with { Nodes = builder.MoveToImmutable() } : graph;
    }
}
