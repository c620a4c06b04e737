namespace ModelPack.Compiler;

/// <summary>One place where a value is read.</summary>
/// <param name="NodeIndex">Position, in the indexed graph, of the node that reads it or whose subgraph reads it.</param>
/// <param name="Node">The node that reads it: possibly inside a subgraph. For a subgraph that gives the value out directly, the node that holds the subgraph.</param>
/// <param name="InputIndex">Which input of <paramref name="Node"/>; -1 when a subgraph gives the value out directly.</param>
/// <param name="Owner">The graph that holds <paramref name="Node"/>.</param>
public readonly record struct ValueUse(int NodeIndex, Node Node, int InputIndex, Graph Owner)
{
    /// <summary>True when the reader is in a subgraph.</summary>
    public bool IsCaptured(Graph indexed) => !ReferenceEquals(Owner, indexed);
}
