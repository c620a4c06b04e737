namespace ModelPack.Compiler;

/// <summary>
/// Who makes a value and who reads it, by name, in constant time. Built once for an immutable graph; readers inside subgraphs count,
/// names that a subgraph defines itself do not.
/// </summary>
public sealed class GraphIndex
{
    private static readonly IReadOnlyList<ValueUse> NoUses = [];

    private readonly Dictionary<string, int> _producers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<ValueUse>> _uses = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Tensor> _initializers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, ValueInfo> _inputs = new(StringComparer.Ordinal);
    private readonly Dictionary<string, ValueInfo> _outputs = new(StringComparer.Ordinal);
    private readonly Dictionary<string, ValueInfo> _infos = new(StringComparer.Ordinal);
    private readonly HashSet<string> _sparse = new(StringComparer.Ordinal);

    public GraphIndex(Graph graph)
    {
        Graph = graph;
        foreach (ValueInfo info in graph.Inputs)
        {
            _inputs.TryAdd(info.Name, info);
        }

        foreach (ValueInfo info in graph.Outputs)
        {
            _outputs.TryAdd(info.Name, info);
        }

        foreach (ValueInfo info in graph.ValueInfos)
        {
            _infos.TryAdd(info.Name, info);
        }

        foreach (Tensor tensor in graph.Initializers)
        {
            _initializers.TryAdd(tensor.Name, tensor);
        }

        foreach (SparseTensor tensor in graph.SparseInitializers)
        {
            _sparse.Add(tensor.Values.Name);
        }

        for (int i = 0; i < graph.Nodes.Length; i++)
        {
            foreach (string output in graph.Nodes[i].Outputs)
            {
                if (output.Length > 0)
                {
                    _producers.TryAdd(output, i);
                }
            }

            AddUses(i, graph.Nodes[i], graph, hidden: null);
        }
    }

    public Graph Graph { get; }

    /// <summary>Position of the node that makes <paramref name="value"/>, or -1.</summary>
    public int ProducerIndex(string value) => _producers.GetValueOrDefault(value, -1);

    /// <summary>The node that makes <paramref name="value"/>; null for inputs, initializers and outer values.</summary>
    public Node? Producer(string value) => ProducerIndex(value) is >= 0 and int i ? Graph.Nodes[i] : null;

    /// <summary>Every read of <paramref name="value"/> by a node of this graph or of its subgraphs, in node order. Graph outputs are not in the list.</summary>
    public IReadOnlyList<ValueUse> Uses(string value) => _uses.TryGetValue(value, out List<ValueUse>? uses) ? uses : NoUses;

    /// <summary>True when nothing reads <paramref name="value"/> and it is no graph output.</summary>
    public bool IsUnused(string value) => !_uses.ContainsKey(value) && !_outputs.ContainsKey(value);

    /// <summary>True for an input of this graph.</summary>
    public bool IsInput(string value) => _inputs.ContainsKey(value);

    /// <summary>True for an output of this graph.</summary>
    public bool IsOutput(string value) => _outputs.ContainsKey(value);

    /// <summary>The initializer of that name, or null. It may be the default of an input; see <see cref="Constant"/>.</summary>
    public Tensor? Initializer(string name) => _initializers.GetValueOrDefault(name);

    /// <summary>The initializer of that name when a caller cannot override it, that is when it is no graph input; else null.</summary>
    public Tensor? Constant(string name) => _inputs.ContainsKey(name) ? null : _initializers.GetValueOrDefault(name);

    /// <summary>True for a sparse initializer.</summary>
    public bool IsSparseInitializer(string name) => _sparse.Contains(name);

    /// <summary>What the file says about the type of <paramref name="value"/>; unknown when it says nothing.</summary>
    public ValueType TypeOf(string value)
    {
        if (_infos.TryGetValue(value, out ValueInfo? info) || _inputs.TryGetValue(value, out info) || _outputs.TryGetValue(value, out info))
        {
            return info.Type;
        }

        return _initializers.TryGetValue(value, out Tensor? tensor)
            ? new ValueType(tensor.DType, [.. tensor.Shape.Dims.Select(d => new Dimension(d))])
            : ValueType.Unknown;
    }

    private void AddUses(int nodeIndex, Node node, Graph owner, HashSet<string>? hidden)
    {
        for (int i = 0; i < node.Inputs.Length; i++)
        {
            AddUse(node.Inputs[i], new ValueUse(nodeIndex, node, i, owner), hidden);
        }

        foreach (Graph inner in node.Subgraphs())
        {
            HashSet<string> innerHidden = GraphNames.Defined(inner);
            innerHidden.UnionWith(hidden ?? []);
            foreach (Node innerNode in inner.Nodes)
            {
                AddUses(nodeIndex, innerNode, inner, innerHidden);
            }

            foreach (ValueInfo output in inner.Outputs)
            {
                AddUse(output.Name, new ValueUse(nodeIndex, node, -1, inner), innerHidden);
            }
        }
    }

    private void AddUse(string name, ValueUse use, HashSet<string>? hidden)
    {
        if (name.Length == 0 || (hidden is not null && hidden.Contains(name)))
        {
            return;
        }

        if (!_uses.TryGetValue(name, out List<ValueUse>? uses))
        {
            _uses[name] = uses = [];
        }

        uses.Add(use);
    }
}
