namespace ModelPack.Compiler.Planning;

/// <summary>Which nodes of a planned graph make and read a value.</summary>
internal sealed class NodeUses
{
    /// <summary>Stands for the graph where it gives a value out.</summary>
    private const int Output = -1;

    private const float HardSwishSlope = 1f / 6;

    private readonly IReadOnlyList<Node> _nodes;
    private readonly Dictionary<string, int> _producers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<int>> _users = new(StringComparer.Ordinal);

    /// <param name="nodes">The nodes, in order.</param>
    /// <param name="graph">What the graph gives out.</param>
    public NodeUses(IReadOnlyList<Node> nodes, Graph graph)
    {
        _nodes = nodes;
        for (int i = 0; i < nodes.Count; i++)
        {
            foreach (string output in nodes[i].Outputs)
            {
                _producers.TryAdd(output, i);
            }

            foreach (string input in nodes[i].Inputs.Concat(nodes[i].Subgraphs().SelectMany(GraphNames.Free)))
            {
                Use(input, i);
            }
        }

        foreach (ValueInfo output in graph.Outputs)
        {
            Use(output.Name, Output);
        }
    }

    /// <summary>Positions of the nodes that read a value, below 0 for the graph itself.</summary>
    public IReadOnlyList<int> Of(string value) => _users.TryGetValue(value, out List<int>? users) ? users : [];

    /// <summary>The node that makes a value which so many uses of nodes, and nothing else, read.</summary>
    public int? Producer(string value, int users) =>
        Of(value) is var all && all.Count == users && !all.Contains(Output) && _producers.TryGetValue(value, out int at) ? at : null;

    /// <summary>Which activation a value is, of which product that nothing else reads, and the nodes that make it of that. The value itself may be read by any.</summary>
    /// <param name="value">The value.</param>
    /// <param name="isProduct">What counts as a product.</param>
    public (string Name, int Product, int[] Between)? Activation(string value, Func<Node, bool> isProduct)
    {
        if (!_producers.TryGetValue(value, out int at))
        {
            return null;
        }

        Node node = _nodes[at];
        int? Product(string x, int users) => Producer(x, users) is int product && isProduct(_nodes[product]) ? product : null;
        if (node.Is("Relu") || node.Is("Gelu") || node.Is("HardSwish"))
        {
            string name = node.Is("Relu") ? "relu" : node.Is("HardSwish") ? "hardswish" : node.Attribute("approximate")?.ToString() == "tanh" ? "gelu_tanh" : "gelu";
            return Product(node.Input(0), users: 1) is int product ? (name, product, [at]) : null;
        }

        foreach ((string x, string gate) in new[] { (node.Input(0), node.Input(1)), (node.Input(1), node.Input(0)) })
        {
            if (node.Is("Mul") && Producer(gate, users: 1) is int sigmoid && _nodes[sigmoid].Input(0) == x && Gate(_nodes[sigmoid]) is string name && Product(x, users: 2) is int product)
            {
                return (name, product, [at, sigmoid]);
            }
        }

        return null;
    }

    /// <summary>What a value times this function of it is called.</summary>
    private static string? Gate(Node node) =>
        node.Is("Sigmoid") ? "silu" : node.Is("HardSigmoid") && node.Float("alpha", 0.2f).Equals(HardSwishSlope) && node.Float("beta", 0.5f).Equals(0.5f) ? "hardswish" : null;

    private void Use(string value, int node)
    {
        if (!_users.TryGetValue(value, out List<int>? users))
        {
            _users.Add(value, users = []);
        }

        users.Add(node);
    }
}
