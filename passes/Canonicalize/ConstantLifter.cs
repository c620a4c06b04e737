using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Makes initializers of constants:
/// <code>
/// main:  Constant -> x                 =>  initializer x
/// main:  Constant -> y (graph output)  =>  initializer y_value, Identity(y_value) -> y
/// If/Loop/Scan body: Constant or initializer w, large  =>  main-graph initializer w (or w_1 ... where w is taken), read from the body
/// </code>
/// A subgraph sees the values around it, so lifting changes nothing but where the tensor is declared. Left alone: what a subgraph
/// gives out directly or lists as input, and subgraphs of operators outside the standard domain (they may not see outer values).
/// </summary>
internal sealed class ConstantLifter(long liftMinBytes, HashSet<string> names)
{
    private readonly List<Tensor> _lifted = [];
    private readonly Dictionary<string, int> _definitions = new(StringComparer.Ordinal);

    public Graph Run(Graph graph, out int lifted)
    {
        CountDefinitions(graph);
        var editor = new GraphEditor(graph, names);
        for (int i = 0; i < graph.Nodes.Length; i++)
        {
            Node node = graph.Nodes[i];
            if (SmallConstants.FromNode(node) is Tensor tensor)
            {
                LiftMain(editor, i, tensor);
            }
            else if (LiftFromNode(node) is Node changed && !ReferenceEquals(changed, node))
            {
                editor.ReplaceNode(i, changed);
            }
        }

        foreach (Tensor tensor in _lifted)
        {
            editor.AddInitializer(tensor);
        }

        lifted = _lifted.Count;
        return editor.Build();
    }

    private static void LiftMain(GraphEditor editor, int index, Tensor tensor)
    {
        string output = tensor.Name;
        if (!editor.Graph.Outputs.Any(v => v.Name == output))
        {
            editor.RemoveNode(index);
            editor.AddInitializer(tensor);
            return;
        }

        string name = editor.UniqueName(output + "_value");
        var identity = new Node { Name = editor.Graph.Nodes[index].Name, OpType = "Identity", Inputs = [name], Outputs = [output] };
        editor.ReplaceNode(index, identity);
        editor.AddInitializer(tensor with { Name = name });
        editor.RedirectUses(output, name);
    }

    private Node LiftFromNode(Node node)
    {
        if (node.Domain.Length > 0 || node.OpType is not ("If" or "Loop" or "Scan" or "SequenceMap"))
        {
            return node;
        }

        ImmutableArray<NodeAttribute> attributes = GraphNames.MapSubgraphs(node.Attributes, LiftFromSubgraph);
        return attributes == node.Attributes ? node : node with { Attributes = attributes };
    }

    private Graph LiftFromSubgraph(Graph graph)
    {
        var editor = new GraphEditor(graph, names);
        var fixedNames = graph.Inputs.Concat(graph.Outputs).Select(v => v.Name).ToHashSet(StringComparer.Ordinal);
        bool Liftable(Tensor tensor) =>
            !fixedNames.Contains(tensor.Name)
            && tensor.DType.TryStorageBytes(tensor.Shape.ElementCount, out long bytes) && bytes >= liftMinBytes;

        foreach (Tensor tensor in graph.Initializers.Where(Liftable))
        {
            editor.RemoveInitializer(tensor.Name);
            Lift(editor, tensor);
        }

        for (int i = 0; i < graph.Nodes.Length; i++)
        {
            Node node = graph.Nodes[i];
            if (SmallConstants.FromNode(node) is Tensor tensor && Liftable(tensor))
            {
                editor.RemoveNode(i);
                Lift(editor, tensor);
            }
            else if (LiftFromNode(node) is Node changed && !ReferenceEquals(changed, node))
            {
                editor.ReplaceNode(i, changed);
            }
        }

        return editor.Build();
    }

    /// <summary>Keeps the name where no other graph defines it; else takes a new one and redirects the readers.</summary>
    private void Lift(GraphEditor editor, Tensor tensor)
    {
        string name = _definitions[tensor.Name] == 1 ? tensor.Name : editor.UniqueName(tensor.Name);
        if (name != tensor.Name)
        {
            editor.RedirectUses(tensor.Name, name);
        }

        _lifted.Add(tensor with { Name = name });
    }

    private void CountDefinitions(Graph graph)
    {
        foreach (string name in GraphNames.Defined(graph))
        {
            _definitions[name] = _definitions.GetValueOrDefault(name) + 1;
        }

        foreach (Graph inner in graph.Nodes.SelectMany(n => n.Subgraphs()))
        {
            CountDefinitions(inner);
        }
    }
}
