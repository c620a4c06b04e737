namespace ModelPack.Compiler.Shapes;

/// <summary>The shapes of all values of a graph when its inputs have given sizes.</summary>
public sealed class GraphShapes
{
    private readonly IReadOnlyDictionary<string, ValueShape> _values;

    internal GraphShapes(Graph graph, IReadOnlyDictionary<string, long> sizes, IReadOnlyDictionary<string, ValueShape> values, IReadOnlyDictionary<Graph, GraphShapes> inner)
    {
        Graph = graph;
        Sizes = sizes;
        _values = values;
        Inner = inner;
    }

    /// <summary>The graph.</summary>
    public Graph Graph { get; }

    /// <summary>What its inputs leave open, by name (see <see cref="ShapeInference.FreeSizes(Graph)"/>).</summary>
    public IReadOnlyDictionary<string, long> Sizes { get; }

    /// <summary>What is known of a value.</summary>
    public ValueShape this[string value] => _values.GetValueOrDefault(value, ValueShape.Unknown);

    /// <summary>The shapes of the graphs inside nodes.</summary>
    internal IReadOnlyDictionary<Graph, GraphShapes> Inner { get; }
}
