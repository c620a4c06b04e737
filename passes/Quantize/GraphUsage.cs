using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Finds out how the nodes of a graph, subgraphs included, use an initializer.</summary>
internal sealed class GraphUsage
{
    private readonly GraphIndex _index;
    private readonly Dictionary<Graph, HashSet<Node>> _ends = new(ReferenceEqualityComparer.Instance);

    public GraphUsage(GraphIndex index) => _index = index;

    /// <summary>The common usage of all readers; a refusal when they disagree or one of them cannot take a quantised weight.</summary>
    public WeightUsage Of(Tensor tensor)
    {
        if (_index.IsInput(tensor.Name) || _index.IsOutput(tensor.Name))
        {
            return WeightUsage.Refuse("it is a graph input or output");
        }

        WeightUsage? common = null;
        foreach (WeightUsage usage in Readers(tensor.Name, tensor.Shape.Rank, transposed: false, depth: 0))
        {
            if (usage.Refusal is not null)
            {
                return usage;
            }

            if (common is WeightUsage before && before.Layout != usage.Layout)
            {
                return WeightUsage.Refuse($"its readers disagree: {before.Op} needs blocks along another axis than {usage.Op}");
            }

            // Where readers differ in role, the more careful one counts.
            bool alike = common is null || (common.Value.Activation == usage.Activation && common.Value.Patches == usage.Patches && common.Value.Groups == usage.Groups);
            common = (common is WeightUsage other && other.Role > usage.Role ? other : usage) with { Activation = alike ? usage.Activation : null };
        }

        return common ?? WeightUsage.Refuse("no node reads it");
    }

    private IEnumerable<WeightUsage> Readers(string value, int rank, bool transposed, int depth)
    {
        foreach (ValueUse use in _index.Uses(value))
        {
            Node node = use.Node;
            bool inMain = ReferenceEquals(use.Owner, _index.Graph);
            bool passes = use.InputIndex == 0 && inMain && depth < 4 && !_index.IsOutput(node.Outputs[0]);
            if (passes && rank == 2 && node.Is("Transpose") && node.Ints("perm") is [] or [1, 0])
            {
                foreach (WeightUsage usage in Readers(node.Outputs[0], rank, !transposed, depth + 1))
                {
                    yield return usage;
                }
            }
            else if (passes && (node.Is("Identity") || (node.Is("Cast") && OnnxTypes.FromNumber(node.Int("to", 0)).IsFloat())))
            {
                foreach (WeightUsage usage in Readers(node.Outputs[0], rank, transposed, depth + 1))
                {
                    yield return usage;
                }
            }
            else
            {
                yield return Classify(use, rank, transposed);
            }
        }
    }

    private WeightUsage Classify(ValueUse use, int rank, bool transposed)
    {
        Node node = use.Node;
        WeightLayout? layout = (node.Domain.Length == 0 ? node.OpType : "", use.InputIndex, rank) switch
        {
            ("MatMul", 0, 2) => WeightLayout.Rows,
            ("MatMul", 1, 2) => WeightLayout.Columns,
            ("Gemm", 1, 2) => node.Int("transB", 0) != 0 ? WeightLayout.Rows : WeightLayout.Columns,
            ("Conv", 1, >= 3) => WeightLayout.Filters,
            ("Gather", 0, 2) when node.Int("axis", 0) is 0 or -2 && !transposed => WeightLayout.Rows,
            _ => null,
        };
        if (layout is not WeightLayout found)
        {
            return WeightUsage.Refuse(node.Is("MatMul") ? $"MatMul '{node.Handle}' uses it as a batch of matrices" : $"input {use.InputIndex} of {node.OpType} '{node.Handle}' is no quantisable weight");
        }

        if (transposed)
        {
            found = found == WeightLayout.Rows ? WeightLayout.Columns : WeightLayout.Rows;
        }

        WeightRole role = node.OpType == "Gather" || Ends(use.Owner).Contains(node) ? WeightRole.End
            : node.OpType == "Conv" ? WeightRole.Convolution
            : WeightRole.Hidden;
        var usage = new WeightUsage(found, role, node.OpType, Activation: Activation(use));
        return found == WeightLayout.Filters && ReferenceEquals(use.Owner, _index.Graph) && _index.Constant(node.Input(1)) is Tensor filters
            ? ConvolutionInputs.Describe(usage, node, filters.Shape)
            : usage;
    }

    /// <summary>What a linear layer of the main graph multiplies with its weight from the left.</summary>
    private string? Activation(ValueUse use) =>
        ReferenceEquals(use.Owner, _index.Graph) && use.InputIndex == 1 && (use.Node.Is("MatMul") || (use.Node.Is("Gemm") && use.Node.Int("transA", 0) == 0)) ? use.Node.Input(0) : null;

    private HashSet<Node> Ends(Graph graph)
    {
        if (!_ends.TryGetValue(graph, out HashSet<Node>? ends))
        {
            _ends[graph] = ends = FirstAndLast.Find(ReferenceEquals(graph, _index.Graph) ? _index : new GraphIndex(graph), _index);
        }

        return ends;
    }
}
