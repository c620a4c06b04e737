using System.Collections.Immutable;
using System.Globalization;

namespace ModelPack.Compiler;

/// <summary>
/// Every constant tensor of a model under a path that is unique in the model: initializers, tensors held in attributes (Constant nodes), both at
/// any depth of subgraphs, function bodies and training graphs.
/// </summary>
/// <remarks>
/// <para>Paths: an initializer of the main graph has its plain name, which is what runtimes bind by. Elsewhere the names of a file may repeat, so
/// the place is put before them: <c>node.attribute/name</c> for an initializer of a subgraph (<c>node.attribute[1]/name</c> in a list of graphs),
/// <c>node.attribute</c> for a tensor held in an attribute, <c>name.values</c> and <c>name.indices</c> for a sparse tensor,
/// <c>function:domain::name/...</c> and <c>training[0].algorithm/...</c>. <c>node</c> is the node's name, or its first output, or <c>#index</c>.</para>
/// <para>Where two tensors would still share a path, the later one gets <c>~2</c>, <c>~3</c> ... Order: main graph initializers, main graph sparse
/// initializers, main graph nodes in order with their subgraphs, functions, training. Paths depend only on structure and names, never on data.</para>
/// </remarks>
public static class ModelTensors
{
    /// <summary>All tensors with their paths, in the order given above.</summary>
    public static IReadOnlyList<(string Path, Tensor Tensor)> Enumerate(Model model)
    {
        var found = new List<(string, Tensor)>();
        Replace(model, (path, tensor) =>
        {
            found.Add((path, tensor));
            return tensor;
        });
        return found;
    }

    /// <summary>Asks <paramref name="replace"/> for every tensor, in the order of <see cref="Enumerate"/>; returns the same model when nothing changed.</summary>
    /// <param name="model">The model.</param>
    /// <param name="replace">Gets path and tensor; returns the tensor to put there (the same reference: keep).</param>
    public static Model Replace(Model model, Func<string, Tensor, Tensor> replace)
    {
        var walk = new Walk(replace);
        Graph graph = walk.Rewrite(model.Graph, "");
        ImmutableArray<Function> functions = Walk.Map(model.Functions, (f, _) => walk.Rewrite(f));
        ImmutableArray<TrainingInfo> training = Walk.Map(model.Training, walk.Rewrite);
        bool same = ReferenceEquals(graph, model.Graph) && functions == model.Functions && training == model.Training;
        return same ? model : model with { Graph = graph, Functions = functions, Training = training };
    }

    private sealed class Walk(Func<string, Tensor, Tensor> replace)
    {
        private readonly HashSet<string> _taken = new(StringComparer.Ordinal);
        private readonly Dictionary<string, int> _repeats = new(StringComparer.Ordinal);

        public Graph Rewrite(Graph graph, string prefix)
        {
            ImmutableArray<Tensor> initializers = Map(graph.Initializers, (t, _) => Visit(prefix + t.Name, t));
            ImmutableArray<SparseTensor> sparse = Map(graph.SparseInitializers, (t, _) => Rewrite(t, prefix + t.Values.Name));
            ImmutableArray<Node> nodes = Map(graph.Nodes, (n, i) => Rewrite(n, i, prefix));
            bool same = initializers == graph.Initializers && sparse == graph.SparseInitializers && nodes == graph.Nodes;
            return same ? graph : graph with { Initializers = initializers, SparseInitializers = sparse, Nodes = nodes };
        }

        public Function Rewrite(Function function)
        {
            string overload = function.Overload.Length > 0 ? ":" + function.Overload : "";
            string prefix = $"function:{function.Domain}::{function.Name}{overload}";
            ImmutableArray<NodeAttribute> defaults = Map(function.AttributeDefaults, (a, _) => Rewrite(a, prefix));
            ImmutableArray<Node> nodes = Map(function.Nodes, (n, i) => Rewrite(n, i, prefix + "/"));
            bool same = defaults == function.AttributeDefaults && nodes == function.Nodes;
            return same ? function : function with { AttributeDefaults = defaults, Nodes = nodes };
        }

        public TrainingInfo Rewrite(TrainingInfo training, int index)
        {
            string prefix = string.Create(CultureInfo.InvariantCulture, $"training[{index}]");
            Graph? initialization = training.Initialization is { } i ? Rewrite(i, prefix + ".initialization/") : null;
            Graph? algorithm = training.Algorithm is { } a ? Rewrite(a, prefix + ".algorithm/") : null;
            bool same = ReferenceEquals(initialization, training.Initialization) && ReferenceEquals(algorithm, training.Algorithm);
            return same ? training : training with { Initialization = initialization, Algorithm = algorithm };
        }

        /// <summary>The same array when every element stayed the same reference.</summary>
        public static ImmutableArray<T> Map<T>(ImmutableArray<T> items, Func<T, int, T> map)
            where T : class
        {
            ImmutableArray<T>.Builder? changed = null;
            for (int i = 0; i < items.Length; i++)
            {
                T item = map(items[i], i);
                if (changed is null && !ReferenceEquals(item, items[i]))
                {
                    changed = items.ToBuilder();
                }

                if (changed is not null)
                {
                    changed[i] = item;
                }
            }

            return changed?.ToImmutable() ?? items;
        }

        private Node Rewrite(Node node, int index, string prefix)
        {
            if (node.Attributes.IsEmpty)
            {
                return node;
            }

            string? output = node.Outputs.FirstOrDefault(o => o.Length > 0);
            string handle = node.Name.Length > 0 ? node.Name : output ?? string.Create(CultureInfo.InvariantCulture, $"#{index}");
            ImmutableArray<NodeAttribute> attributes = Map(node.Attributes, (a, _) => Rewrite(a, prefix + handle));
            return attributes == node.Attributes ? node : node with { Attributes = attributes };
        }

        private NodeAttribute Rewrite(NodeAttribute attribute, string owner)
        {
            string path = $"{owner}.{attribute.Name}";
            AttributeValue value = attribute.Value;
            AttributeValue rewritten = value switch
            {
                AttributeValue.TensorValue v => Keep(v, v.Value, Visit(path, v.Value), t => new AttributeValue.TensorValue(t)),
                AttributeValue.GraphValue v => Keep(v, v.Value, Rewrite(v.Value, path + "/"), g => new AttributeValue.GraphValue(g)),
                AttributeValue.SparseValue v => Keep(v, v.Value, Rewrite(v.Value, path), s => new AttributeValue.SparseValue(s)),
                AttributeValue.TensorValues v => Keep(v, v.Values, Map(v.Values, (t, i) => Visit(Indexed(path, i), t)), t => new AttributeValue.TensorValues(t)),
                AttributeValue.GraphValues v => Keep(v, v.Values, Map(v.Values, (g, i) => Rewrite(g, Indexed(path, i) + "/")), g => new AttributeValue.GraphValues(g)),
                AttributeValue.SparseValues v => Keep(v, v.Values, Map(v.Values, (s, i) => Rewrite(s, Indexed(path, i))), s => new AttributeValue.SparseValues(s)),
                _ => value,
            };
            return ReferenceEquals(rewritten, value) ? attribute : attribute with { Value = rewritten };
        }

        private SparseTensor Rewrite(SparseTensor sparse, string path)
        {
            Tensor values = Visit(path + ".values", sparse.Values);
            Tensor indices = Visit(path + ".indices", sparse.Indices);
            bool same = ReferenceEquals(values, sparse.Values) && ReferenceEquals(indices, sparse.Indices);
            return same ? sparse : sparse with { Values = values, Indices = indices };
        }

        private static AttributeValue Keep<T>(AttributeValue before, T old, T now, Func<T, AttributeValue> wrap)
        {
            bool same = typeof(T).IsValueType ? EqualityComparer<T>.Default.Equals(old, now) : ReferenceEquals(old, now);
            return same ? before : wrap(now);
        }

        private static string Indexed(string path, int index) => string.Create(CultureInfo.InvariantCulture, $"{path}[{index}]");

        private Tensor Visit(string path, Tensor tensor)
        {
            string unique = path;
            while (!_taken.Add(unique))
            {
                int n = _repeats.GetValueOrDefault(path, 1) + 1;
                _repeats[path] = n;
                unique = string.Create(CultureInfo.InvariantCulture, $"{path}~{n}");
            }

            return replace(unique, tensor);
        }
    }
}
