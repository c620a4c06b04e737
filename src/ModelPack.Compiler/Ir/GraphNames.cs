using System.Collections.Immutable;
using System.Runtime.CompilerServices;

namespace ModelPack.Compiler;

/// <summary>
/// Names in nested graphs. A subgraph (branch, loop body) sees the values of the graphs around it; a name it defines itself hides
/// an outer one.
/// </summary>
public static class GraphNames
{
    private static readonly ConditionalWeakTable<Graph, IReadOnlyList<string>> FreeNames = [];

    /// <summary>Values that <paramref name="graph"/> takes from the graphs around it, in order of first use, each once.</summary>
    public static IReadOnlyList<string> Free(Graph graph) => FreeNames.GetValue(graph, ComputeFree);

    /// <summary>Names that <paramref name="graph"/> itself defines: inputs, initializers and node outputs; not those of its subgraphs.</summary>
    public static HashSet<string> Defined(Graph graph)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        names.UnionWith(graph.Inputs.Select(v => v.Name));
        names.UnionWith(graph.Initializers.Select(t => t.Name));
        names.UnionWith(graph.SparseInitializers.Select(t => t.Values.Name));
        names.UnionWith(graph.Nodes.SelectMany(n => n.Outputs));
        names.Remove("");
        return names;
    }

    /// <summary>Every name that occurs in <paramref name="graph"/> or, at any depth, in its subgraphs.</summary>
    public static HashSet<string> All(Graph graph)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        CollectAll(graph, names);
        return names;
    }

    /// <summary>
    /// Replaces free names of <paramref name="graph"/>. Where the graph defines a name that is to be put in, its own value is renamed
    /// first, so nothing is captured by accident.
    /// </summary>
    /// <param name="graph">The graph; returned as it is when it uses none of the names.</param>
    /// <param name="map">New name by old name.</param>
    /// <param name="fresh">Makes an unused name from a stem.</param>
    public static Graph Substitute(Graph graph, IReadOnlyDictionary<string, string> map, Func<string, string> fresh)
    {
        var uses = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string name in Free(graph))
        {
            if (map.TryGetValue(name, out string? target) && target != name)
            {
                uses[name] = target;
            }
        }

        if (uses.Count == 0)
        {
            return graph;
        }

        HashSet<string> defined = Defined(graph);
        var definitions = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string target in uses.Values.Where(defined.Contains).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).ToArray())
        {
            definitions[target] = fresh(target);
        }

        foreach ((string from, string to) in definitions)
        {
            uses[from] = to;
        }

        return Rename(graph, uses, definitions, fresh);
    }

    /// <summary>Replaces names in a node: inputs and values its subgraphs capture by <paramref name="uses"/>, outputs by <paramref name="definitions"/>.</summary>
    internal static Node Rename(Node node, IReadOnlyDictionary<string, string> uses, IReadOnlyDictionary<string, string> definitions, Func<string, string> fresh)
    {
        ImmutableArray<string> inputs = Map(node.Inputs, uses);
        ImmutableArray<string> outputs = Map(node.Outputs, definitions);
        ImmutableArray<NodeAttribute> attributes = MapSubgraphs(node.Attributes, g => Substitute(g, uses, fresh));
        return inputs == node.Inputs && outputs == node.Outputs && attributes == node.Attributes
            ? node
            : node with { Inputs = inputs, Outputs = outputs, Attributes = attributes };
    }

    /// <summary>Rewrites the graphs held by attributes; the same array when none changed.</summary>
    public static ImmutableArray<NodeAttribute> MapSubgraphs(ImmutableArray<NodeAttribute> attributes, Func<Graph, Graph> rewrite)
    {
        ImmutableArray<NodeAttribute>.Builder? changed = null;
        for (int i = 0; i < attributes.Length; i++)
        {
            AttributeValue value = attributes[i].Value switch
            {
                AttributeValue.GraphValue g => rewrite(g.Value) is var r && ReferenceEquals(r, g.Value) ? g : new AttributeValue.GraphValue(r),
                AttributeValue.GraphValues g => g.Values.Select(rewrite).ToImmutableArray() is var r && r.AsSpan().SequenceEqual(g.Values.AsSpan(), ReferenceEqualityComparer.Instance) ? g : new AttributeValue.GraphValues(r),
                var other => other,
            };
            if (!ReferenceEquals(value, attributes[i].Value))
            {
                changed ??= attributes.ToBuilder();
                changed[i] = attributes[i] with { Value = value };
            }
        }

        return changed?.MoveToImmutable() ?? attributes;
    }

    private static Graph Rename(Graph graph, Dictionary<string, string> uses, Dictionary<string, string> definitions, Func<string, string> fresh)
    {
        string Use(string name) => uses.GetValueOrDefault(name, name);
        string Definition(string name) => definitions.GetValueOrDefault(name, name);
        return graph with
        {
            Inputs = [.. graph.Inputs.Select(v => v with { Name = Definition(v.Name) })],
            Outputs = [.. graph.Outputs.Select(v => v with { Name = Use(v.Name) })],
            Initializers = [.. graph.Initializers.Select(t => t with { Name = Definition(t.Name) })],
            SparseInitializers = [.. graph.SparseInitializers.Select(t => t with { Values = t.Values with { Name = Definition(t.Values.Name) } })],
            ValueInfos = [.. graph.ValueInfos.Select(v => v with { Name = Definition(v.Name) })],
            Nodes = [.. graph.Nodes.Select(n => Rename(n, uses, definitions, fresh))],
        };
    }

    private static ImmutableArray<string> Map(ImmutableArray<string> names, IReadOnlyDictionary<string, string> map)
    {
        ImmutableArray<string>.Builder? changed = null;
        for (int i = 0; i < names.Length; i++)
        {
            if (map.TryGetValue(names[i], out string? target) && target != names[i])
            {
                changed ??= names.ToBuilder();
                changed[i] = target;
            }
        }

        return changed?.MoveToImmutable() ?? names;
    }

    private static List<string> ComputeFree(Graph graph)
    {
        HashSet<string> defined = Defined(graph);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        var free = new List<string>();
        void Use(string name)
        {
            if (name.Length > 0 && !defined.Contains(name) && seen.Add(name))
            {
                free.Add(name);
            }
        }

        foreach (Node node in graph.Nodes)
        {
            foreach (string input in node.Inputs)
            {
                Use(input);
            }

            foreach (Graph inner in node.Subgraphs())
            {
                foreach (string name in Free(inner))
                {
                    Use(name);
                }
            }
        }

        foreach (ValueInfo output in graph.Outputs)
        {
            Use(output.Name);
        }

        return free;
    }

    private static void CollectAll(Graph graph, HashSet<string> names)
    {
        names.UnionWith(Defined(graph));
        names.UnionWith(graph.Outputs.Select(v => v.Name));
        names.UnionWith(graph.ValueInfos.Select(v => v.Name));
        foreach (Node node in graph.Nodes)
        {
            names.UnionWith(node.Inputs);
            foreach (Graph inner in node.Subgraphs())
            {
                CollectAll(inner, names);
            }
        }
    }
}
