using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Toolchain;

/// <summary>Cuts pieces out of a graph: the nodes between two positions as a model of its own.</summary>
internal sealed class GraphSlices
{
    private readonly Model _model;
    private readonly Dictionary<string, int> _producers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> _lastUses = new(StringComparer.Ordinal);
    private readonly string[][] _reads;
    private readonly Dictionary<string, Tensor> _initializers;
    private readonly Dictionary<string, SparseTensor> _sparse;

    /// <param name="model">A model with a graph.</param>
    public GraphSlices(Model model)
    {
        _model = model;
        Graph graph = model.Graph;
        _initializers = graph.Initializers.ToDictionary(t => t.Name, StringComparer.Ordinal);
        _sparse = graph.SparseInitializers.ToDictionary(t => t.Values.Name, StringComparer.Ordinal);
        _reads = new string[graph.Nodes.Length][];
        for (int i = 0; i < graph.Nodes.Length; i++)
        {
            Node node = graph.Nodes[i];
            _reads[i] = [.. node.Inputs.Concat(node.Subgraphs().SelectMany(GraphNames.Free)).Where(n => n.Length > 0).Distinct(StringComparer.Ordinal)];
            foreach (string read in _reads[i])
            {
                _lastUses[read] = i;
            }

            foreach (string output in node.Outputs.Where(o => o.Length > 0))
            {
                _producers[output] = i;
            }
        }
    }

    /// <summary>A piece of the graph.</summary>
    /// <param name="Nodes">Its nodes.</param>
    /// <param name="Initializers">The dense constants it reads.</param>
    /// <param name="Sparse">The sparse constants it reads.</param>
    /// <param name="Inputs">Values it reads from outside.</param>
    /// <param name="Kept">Values, made in it or read from outside, that nodes after it read.</param>
    public sealed record Slice(ImmutableArray<Node> Nodes, ImmutableArray<Tensor> Initializers, ImmutableArray<SparseTensor> Sparse, ImmutableArray<string> Inputs, ImmutableArray<string> Kept);

    /// <summary>The position after the node that makes a value; 0 for inputs of the graph; -1 for a value that the main graph does not have.</summary>
    public int PositionOf(string value) =>
        _producers.TryGetValue(value, out int node) ? node + 1
        : _model.Graph.Inputs.Any(i => i.Name == value) ? 0
        : -1;

    /// <summary>The nodes [start, end) with what they read, and what of that and of what they make is read later.</summary>
    /// <param name="start">First node.</param>
    /// <param name="end">Node after the last.</param>
    /// <param name="replaced">Initializers to use instead of the model's.</param>
    public Slice Cut(int start, int end, IReadOnlyDictionary<string, Tensor> replaced)
    {
        var nodes = ImmutableArray.CreateBuilder<Node>(end - start);
        var made = new HashSet<string>(StringComparer.Ordinal);
        var inputs = new List<string>();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        var initializers = ImmutableArray.CreateBuilder<Tensor>();
        var sparse = ImmutableArray.CreateBuilder<SparseTensor>();
        for (int i = start; i < end; i++)
        {
            nodes.Add(_model.Graph.Nodes[i]);
            foreach (string read in _reads[i].Where(r => !made.Contains(r) && seen.Add(r)))
            {
                if (_initializers.TryGetValue(read, out Tensor? tensor))
                {
                    initializers.Add(replaced.GetValueOrDefault(read, tensor));
                }
                else if (_sparse.TryGetValue(read, out SparseTensor? constant))
                {
                    sparse.Add(constant);
                }
                else
                {
                    inputs.Add(read);
                }
            }

            made.UnionWith(_model.Graph.Nodes[i].Outputs.Where(o => o.Length > 0));
        }

        return new Slice(nodes.MoveToImmutable(), initializers.ToImmutable(), sparse.ToImmutable(), [.. inputs], [.. made.Where(v => IsReadFrom(v, end))]);
    }

    /// <summary>True when the node at <paramref name="position"/> or one after it reads the value.</summary>
    public bool IsReadFrom(string value, int position) => _lastUses.TryGetValue(value, out int last) && last >= position;

    /// <summary>The piece as a model.</summary>
    /// <param name="slice">The piece.</param>
    /// <param name="types">Types of its inputs.</param>
    /// <param name="outputs">Values to give out.</param>
    public Model ToModel(Slice slice, Func<string, Compiler.ValueType> types, IReadOnlyList<string> outputs) => _model with
    {
        Graph = new Graph
        {
            Name = "slice",
            Nodes = slice.Nodes,
            Initializers = slice.Initializers,
            SparseInitializers = slice.Sparse,
            Inputs = [.. slice.Inputs.Select(name => new ValueInfo(name, types(name)))],
            Outputs = [.. outputs.Select(name => new ValueInfo(name, Compiler.ValueType.Unknown))],
        },
        Metadata = [],
        Training = [],
        Foreign = default,
    };
}
