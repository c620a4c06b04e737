using System.Collections.Immutable;
using System.Globalization;

namespace ModelPack.Compiler;

/// <summary>
/// Collects edits of one graph and builds the new graph once. Edits name nodes by their position in the graph as it was given, so
/// they do not disturb each other. Topological order is restored on <see cref="Build"/>.
/// </summary>
public sealed class GraphEditor
{
    private readonly Dictionary<int, IReadOnlyList<Node>> _replaced = [];
    private readonly Dictionary<int, List<Node>> _before = [];
    private readonly Dictionary<int, List<Node>> _after = [];
    private readonly List<Node> _first = [];
    private readonly Dictionary<string, Tensor?> _changedInitializers = new(StringComparer.Ordinal);
    private readonly List<Tensor> _addedInitializers = [];
    private readonly HashSet<string> _removedInputs = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _redirects = new(StringComparer.Ordinal);
    private readonly HashSet<string> _redirectedOutputs = new(StringComparer.Ordinal);
    private readonly HashSet<Node> _exempt = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<string, string> _renames = new(StringComparer.Ordinal);
    private HashSet<string>? _names;

    /// <param name="graph">The graph to edit; not changed.</param>
    public GraphEditor(Graph graph)
        : this(graph, null)
    {
    }

    /// <param name="graph">The graph to edit; not changed.</param>
    /// <param name="names">Names that are taken besides those in <paramref name="graph"/>: those of the graphs around a subgraph. New names are added.</param>
    public GraphEditor(Graph graph, HashSet<string>? names)
    {
        Graph = graph;
        _names = names;
        names?.UnionWith(GraphNames.All(graph));
    }

    /// <summary>The graph as it was given.</summary>
    public Graph Graph { get; }

    /// <summary>True when at least one edit was asked for.</summary>
    public bool HasEdits { get; private set; }

    /// <summary>A name that occurs nowhere in the graph or its subgraphs: the stem itself or stem_1, stem_2, ... Deterministic.</summary>
    public string UniqueName(string stem)
    {
        _names ??= GraphNames.All(Graph);
        string name = stem;
        for (int i = 1; name.Length == 0 || !_names.Add(name); i++)
        {
            name = string.Create(CultureInfo.InvariantCulture, $"{stem}_{i}");
        }

        return name;
    }

    /// <summary>Takes a node out. Its outputs must be unused, redirected or made by another node in the end.</summary>
    public void RemoveNode(int index) => ReplaceNode(index);

    /// <summary>True when the node was removed or replaced.</summary>
    public bool IsReplaced(int index) => _replaced.ContainsKey(index);

    /// <summary>Puts nodes in place of a node.</summary>
    /// <exception cref="InvalidOperationException">The node was already replaced or removed.</exception>
    public void ReplaceNode(int index, params ReadOnlySpan<Node> replacements)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Graph.Nodes.Length);
        HasEdits = true;
        if (!_replaced.TryAdd(index, replacements.ToArray()))
        {
            throw new InvalidOperationException($"node '{Graph.Nodes[index].Handle}' is edited twice");
        }
    }

    /// <summary>Puts nodes before the node at <paramref name="index"/>, or last when it equals the node count.</summary>
    public void InsertBefore(int index, params ReadOnlySpan<Node> nodes)
    {
        if (index == Graph.Nodes.Length)
        {
            if (index == 0)
            {
                InsertFirst(nodes);
            }
            else
            {
                InsertAfter(index - 1, nodes);
            }

            return;
        }

        Insert(_before, index, nodes);
    }

    /// <summary>Puts nodes after the node at <paramref name="index"/>.</summary>
    public void InsertAfter(int index, params ReadOnlySpan<Node> nodes) => Insert(_after, index, nodes);

    /// <summary>Puts nodes before all others.</summary>
    public void InsertFirst(params ReadOnlySpan<Node> nodes)
    {
        HasEdits = true;
        _first.AddRange(nodes);
    }

    /// <summary>Adds an initializer after the existing ones.</summary>
    public void AddInitializer(Tensor tensor)
    {
        HasEdits = true;
        _names?.Add(tensor.Name);
        _addedInitializers.Add(tensor);
    }

    /// <summary>Puts a tensor in place of the initializer <paramref name="name"/>, at the same position; what the file said about its type is dropped. A new name does not redirect uses.</summary>
    public void ReplaceInitializer(string name, Tensor tensor)
    {
        HasEdits = true;
        _changedInitializers[name] = tensor;
    }

    /// <summary>Takes an initializer (dense or sparse) out.</summary>
    public void RemoveInitializer(string name)
    {
        HasEdits = true;
        _changedInitializers[name] = null;
    }

    /// <summary>Takes a graph input out: for initializers that a file of an old IR version lists as inputs.</summary>
    public void RemoveInput(string name)
    {
        HasEdits = true;
        _removedInputs.Add(name);
    }

    /// <summary>
    /// Makes every reader of <paramref name="from"/>, in subgraphs too, read <paramref name="to"/>. Whoever makes <paramref name="from"/> stays.
    /// Chains are followed.
    /// </summary>
    /// <param name="from">The value that is read now.</param>
    /// <param name="to">The value to read.</param>
    /// <param name="includeOutputs">Also a graph output of that name; right only for subgraphs, whose outputs go by position.</param>
    /// <param name="except">A node handed to this editor that keeps reading <paramref name="from"/> and all other names as written.</param>
    public void RedirectUses(string from, string to, bool includeOutputs = false, Node? except = null)
    {
        HasEdits = true;
        _redirects[from] = to;
        if (includeOutputs)
        {
            _redirectedOutputs.Add(from);
        }

        if (except is not null)
        {
            _exempt.Add(except);
        }
    }

    /// <summary>Gives a value another name everywhere: where it is made, read, or listed as input, output or initializer.</summary>
    public void RenameValue(string from, string to)
    {
        HasEdits = true;
        _names?.Add(to);
        _renames[from] = to;
    }

    /// <summary>Builds the graph with all edits; the given graph itself when there are none.</summary>
    /// <exception cref="ModelPackException">MP2012: the edits make nodes depend on their own results.</exception>
    /// <exception cref="InvalidOperationException">Redirections form a cycle.</exception>
    public Graph Build()
    {
        if (!HasEdits)
        {
            return Graph;
        }

        Dictionary<string, string> uses = ResolveUses();
        Node Apply(Node node) => uses.Count == 0 && _renames.Count == 0 ? node
            : GraphNames.Rename(node, _exempt.Contains(node) ? _renames : uses, _renames, UniqueName);
        string Name(string name) => _renames.GetValueOrDefault(name, name);

        ImmutableArray<Node> nodes = TopologicalOrder.Sort([.. AllNodes().Select(Apply)]);
        Graph graph = Graph with
        {
            Nodes = nodes,
            Inputs = [.. Graph.Inputs.Where(v => !_removedInputs.Contains(v.Name)).Select(v => v with { Name = Name(v.Name) })],
            Outputs = [.. Graph.Outputs.Select(v => v with { Name = _redirectedOutputs.Contains(v.Name) ? uses[v.Name] : Name(v.Name) })],
            Initializers = [.. Graph.Initializers.Select(t => _changedInitializers.GetValueOrDefault(t.Name, t)).OfType<Tensor>().Concat(_addedInitializers).Select(t => t with { Name = Name(t.Name) })],
            SparseInitializers = [.. Graph.SparseInitializers.Where(t => !_changedInitializers.ContainsKey(t.Values.Name)).Select(t => t with { Values = t.Values with { Name = Name(t.Values.Name) } })],
        };
        HashSet<string> alive = GraphNames.Defined(graph);
        var listed = new HashSet<string>(StringComparer.Ordinal);
        return graph with { ValueInfos = [.. Graph.ValueInfos.Select(v => v with { Name = Name(v.Name) }).Where(v => alive.Contains(v.Name) && !_changedInitializers.ContainsKey(v.Name) && listed.Add(v.Name))] };
    }

    private Dictionary<string, string> ResolveUses()
    {
        var uses = new Dictionary<string, string>(_renames, StringComparer.Ordinal);
        foreach (string from in _redirects.Keys)
        {
            string to = from;
            int steps = 0;
            while (_redirects.TryGetValue(to, out string? next))
            {
                to = ++steps <= _redirects.Count ? next : throw new InvalidOperationException($"uses of '{from}' are redirected in a circle");
            }

            uses[from] = _renames.GetValueOrDefault(to, to);
        }

        return uses;
    }

    private IEnumerable<Node> AllNodes()
    {
        foreach (Node node in _first)
        {
            yield return node;
        }

        for (int i = 0; i < Graph.Nodes.Length; i++)
        {
            foreach (Node node in _before.GetValueOrDefault(i) ?? [])
            {
                yield return node;
            }

            if (_replaced.TryGetValue(i, out IReadOnlyList<Node>? replacements))
            {
                foreach (Node node in replacements)
                {
                    yield return node;
                }
            }
            else
            {
                yield return Graph.Nodes[i];
            }

            foreach (Node node in _after.GetValueOrDefault(i) ?? [])
            {
                yield return node;
            }
        }
    }

    private void Insert(Dictionary<int, List<Node>> where, int index, ReadOnlySpan<Node> nodes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Graph.Nodes.Length);
        HasEdits = true;
        if (!where.TryGetValue(index, out List<Node>? list))
        {
            where[index] = list = [];
        }

        list.AddRange(nodes);
    }
}
