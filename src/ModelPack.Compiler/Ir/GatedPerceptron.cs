using System.Collections.Immutable;

namespace ModelPack.Compiler;

/// <summary>
/// A gated perceptron in a graph of plain products: h = f(g) (x U), y = h D, g being x G where that is such a product. Between f(g) and the product with x U there may be a Shrink without bias, which sets small values to 0.
/// </summary>
/// <param name="Activation">f: <c>silu</c>, <c>relu</c>, <c>gelu</c> or <c>gelu_tanh</c>.</param>
/// <param name="Input">x.</param>
/// <param name="Gate">g.</param>
/// <param name="Activated">f(g).</param>
/// <param name="Threshold">Of the Shrink; 0 without.</param>
/// <param name="GateProduct">Position of the MatMul that makes g and nothing else; -1 where none does.</param>
/// <param name="UpProduct">Position of the MatMul with U.</param>
/// <param name="Product">Position of the Mul that makes h.</param>
/// <param name="DownProduct">Position of the MatMul with D.</param>
/// <param name="Between">Positions of the nodes that make f(g) of g, and of the Shrink.</param>
public sealed record GatedPerceptron(
    string Activation, string Input, string Gate, string Activated, float Threshold, int GateProduct, int UpProduct, int Product, int DownProduct, ImmutableArray<int> Between)
{
    /// <summary>All of a graph, in graph order. Products with weights that are no constants, values that others read too, and values that leave the graph are not matched.</summary>
    public static ImmutableArray<GatedPerceptron> Find(GraphIndex index)
    {
        ArgumentNullException.ThrowIfNull(index);
        return [.. Enumerable.Range(0, index.Graph.Nodes.Length).Select(i => Match(index, i)).OfType<GatedPerceptron>()];
    }

    private static GatedPerceptron? Match(GraphIndex index, int product)
    {
        Node node = index.Graph.Nodes[product];
        if (!node.Is("Mul") || Reader(index, node.Outputs[0]) is not (int down, 0) || !IsProduct(index, down))
        {
            return null;
        }

        foreach ((string activated, string other) in new[] { (node.Input(0), node.Input(1)), (node.Input(1), node.Input(0)) })
        {
            int up = index.ProducerIndex(other);
            if (!IsProduct(index, up) || Reader(index, other) is null || Reader(index, activated) is null || index.ProducerIndex(activated) is not (>= 0 and int last))
            {
                continue;
            }

            Node made = index.Graph.Nodes[last];
            bool shrinks = made.Is("Shrink") && made.Float("bias", 0) == 0 && made.Float("lambd", 0.5f) is >= 0;
            string value = shrinks ? made.Input(0) : activated;
            if ((!shrinks || Reader(index, value) is not null) && Activate(index, value) is (string activation, string gate, ImmutableArray<int> between))
            {
                int first = index.ProducerIndex(gate);
                return new GatedPerceptron(
                    activation, index.Graph.Nodes[up].Input(0), gate, value, shrinks ? made.Float("lambd", 0.5f) : 0, IsProduct(index, first) && !index.IsOutput(gate) ? first : -1, up, product, down, shrinks ? [.. between, last] : between);
            }
        }

        return null;
    }

    /// <summary>What a value is an activation of.</summary>
    private static (string Name, string Gate, ImmutableArray<int> Between)? Activate(GraphIndex index, string value)
    {
        int at = index.ProducerIndex(value);
        if (at < 0)
        {
            return null;
        }

        Node node = index.Graph.Nodes[at];
        if (node.Is("Relu") || node.Is("Gelu"))
        {
            return (node.Is("Relu") ? "relu" : node.Attribute("approximate")?.ToString() == "tanh" ? "gelu_tanh" : "gelu", node.Input(0), [at]);
        }

        foreach ((string g, string s) in new[] { (node.Input(0), node.Input(1)), (node.Input(1), node.Input(0)) })
        {
            int sigmoid = index.ProducerIndex(s);
            if (node.Is("Mul") && sigmoid >= 0 && index.Graph.Nodes[sigmoid].Is("Sigmoid") && index.Graph.Nodes[sigmoid].Input(0) == g && Reader(index, s) is not null)
            {
                return ("silu", g, [at, sigmoid]);
            }
        }

        return null;
    }

    /// <summary>Position and input of the only node of the graph that reads a value; null when there are others, or it leaves the graph.</summary>
    private static (int Node, int Input)? Reader(GraphIndex index, string value) =>
        !index.IsOutput(value) && index.Uses(value) is [ValueUse only] && !only.IsCaptured(index.Graph) ? (only.NodeIndex, only.InputIndex) : null;

    private static bool IsProduct(GraphIndex index, int at) =>
        at >= 0 && index.Graph.Nodes[at] is Node node && node.Is("MatMul") && index.Constant(node.Input(1)) is { Shape.Rank: 2, DType: DType.F32 } && index.Constant(node.Input(0)) is null;
}
