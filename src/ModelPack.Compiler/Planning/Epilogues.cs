using System.Collections.Immutable;

namespace ModelPack.Compiler.Planning;

/// <summary>
/// Activations of planned products that nothing else reads, done by the product itself while its outputs are in the first cache:
/// <code>
/// u = PackedMatMul(x, W)   y = Relu(u), HardSwish(u), Gelu(u), Mul(u, Sigmoid(u))    ->    y = PackedMatMul(x, W) with activation
/// </code>
/// and the same of PackedConv.
/// </summary>
internal static class Epilogues
{
    /// <summary>Joins all that there are.</summary>
    /// <param name="nodes">Nodes of the execution graph, in order.</param>
    /// <param name="graph">What the graph gives out.</param>
    public static ImmutableArray<Node> Join(ImmutableArray<Node> nodes, Graph graph)
    {
        if (!nodes.Any(IsProduct))
        {
            return nodes;
        }

        var uses = new NodeUses(nodes, graph);
        var result = nodes.ToBuilder();
        var gone = new HashSet<int>();
        for (int i = 0; i < nodes.Length; i++)
        {
            if (nodes[i].Outputs is [string y] && uses.Activation(y, IsProduct) is (string activation, int product, int[] between) && !gone.Contains(product))
            {
                // Where the product was: all inputs of what follows exist there already.
                gone.UnionWith(between);
                result[product] = nodes[product] with { Outputs = [y], Attributes = [.. nodes[product].Attributes, new NodeAttribute("activation", new AttributeValue.Text(activation))] };
            }
        }

        return gone.Count == 0 ? nodes : [.. result.Where((_, i) => !gone.Contains(i))];
    }

    private static bool IsProduct(Node node) => node.Domain == PackedMatMul.Domain && node.OpType is "PackedMatMul" or "PackedConv";
}
