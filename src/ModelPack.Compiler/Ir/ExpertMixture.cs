using System.Collections.Immutable;

namespace ModelPack.Compiler;

/// <summary>
/// A mixture of experts in a graph of plain products: y = sum over experts e of shares[:, e] expert_e(x), every expert a <see cref="GatedPerceptron"/> of the rows that chose it:
/// <code>
/// share = Gather(shares, e)   where = NonZero(share)   index = Squeeze(where)
/// sum_e = ScatterND(sum_(e-1), Transpose(where), expert_e(Gather(x, index)) * Unsqueeze(Gather(share, index)))
/// </code>
/// with zeros before the first.
/// </summary>
/// <param name="Input">x, [rows, inputs].</param>
/// <param name="Shares">[rows, experts or more]; expert e has column e.</param>
/// <param name="PerRow">Shares of a row that are not 0; 0 where the graph does not tell.</param>
/// <param name="Activation">Of all experts.</param>
/// <param name="Experts">The experts.</param>
/// <param name="Last">Position of the node that makes y.</param>
/// <param name="Nodes">Positions of all nodes that compute y of x and shares.</param>
internal sealed record ExpertMixture(string Input, string Shares, long PerRow, string Activation, ImmutableArray<GatedPerceptron> Experts, int Last, ImmutableArray<int> Nodes)
{
    /// <summary>All of a graph. Values that others read too, and values that leave the graph, are not matched.</summary>
    public static ImmutableArray<ExpertMixture> Find(GraphIndex index)
    {
        ArgumentNullException.ThrowIfNull(index);
        if (!index.Graph.Nodes.Any(n => n.Is("NonZero")))
        {
            return [];
        }

        Dictionary<string, Expert> bySum = GatedPerceptron.Find(index).Select(p => Match(index, p)).OfType<Expert>().DistinctBy(e => e.Before, StringComparer.Ordinal).ToDictionary(e => e.Before, StringComparer.Ordinal);
        return [.. bySum.Values.Where(e => e.Number == 0).Select(e => Chain(index, e, bySum)).OfType<ExpertMixture>()];
    }

    /// <summary>The mixture that begins with an expert.</summary>
    private static ExpertMixture? Chain(GraphIndex index, Expert first, Dictionary<string, Expert> bySum)
    {
        int zeros = index.ProducerIndex(first.Before);
        if (zeros < 0 || index.Graph.Nodes[zeros] is not Node made || !made.Is("ConstantOfShape") || !made.Attributes.IsEmpty
            || index.Producer(made.Input(0)) is not Node shape || !shape.Is("Shape") || !shape.Attributes.IsEmpty || shape.Input(0) != first.Input)
        {
            return null;
        }

        var experts = new List<Expert>();
        for (Expert? next = first; next is not null && Continues(next); next = index.IsOutput(next.After) ? null : bySum.GetValueOrDefault(next.After))
        {
            experts.Add(next);
        }

        return experts.Count < 2 ? null : new ExpertMixture(
            first.Input, first.Shares, PerRowOf(index, first.Shares), first.Perceptron.Activation, [.. experts.Select(e => e.Perceptron)], experts[^1].Sum, [.. experts.SelectMany(e => e.Nodes), zeros]);

        bool Continues(Expert next) => next.Number == experts.Count && next.Input == first.Input && next.Shares == first.Shares && next.Perceptron.Activation == first.Perceptron.Activation;
    }

    /// <summary>Shares are scattered to where the largest few were: how many.</summary>
    private static long PerRowOf(GraphIndex index, string shares) =>
        index.Producer(shares) is Node scatter && scatter.Is("ScatterElements") && index.Producer(scatter.Input(1)) is Node top && top.Is("TopK")
        && SmallConstants.TryReadIntegers(index.Constant(top.Input(1)), out ImmutableArray<long> k) && k is [> 0] ? k[0] : 0;

    private static Expert? Match(GraphIndex index, GatedPerceptron perceptron)
    {
        ImmutableArray<Node> nodes = index.Graph.Nodes;
        if (perceptron.Threshold > 0 || perceptron.GateProduct < 0 || nodes[perceptron.GateProduct].Input(0) != perceptron.Input)
        {
            return null;
        }

        // own = Gather(x, indices), indices = Squeeze(where), where = NonZero(share), share = Gather(shares, e)
        int own = Made(index, perceptron.Input, "Gather", users: 2);
        int squeeze = own < 0 || nodes[own].Int("axis", 0) != 0 ? -1 : Made(index, nodes[own].Input(1), "Squeeze", users: 2);
        int where = squeeze < 0 || !HasAxis(index, squeeze, 0) ? -1 : Made(index, nodes[squeeze].Input(0), "NonZero", users: 2);
        int share = where < 0 ? -1 : Made(index, nodes[where].Input(0), "Gather", users: 2);
        if (share < 0 || nodes[share].Int("axis", 0) != 1 || index.Constant(nodes[share].Input(1)) is not { Shape.Rank: 0 } constant || !SmallConstants.TryReadIntegers(constant, out ImmutableArray<long> number))
        {
            return null;
        }

        // sum = ScatterND(before, Transpose(where), down * Unsqueeze(Gather(share, indices)))
        int weighted = Reader(index, nodes[perceptron.DownProduct].Outputs[0], "Mul");
        int sum = weighted < 0 ? -1 : Reader(index, nodes[weighted].Outputs[0], "ScatterND");
        if (sum < 0 || nodes[sum].Input(2) != nodes[weighted].Outputs[0] || nodes[sum].Attribute("reduction")?.ToString() != "add" || !IsRead(index, nodes[sum].Input(0), 1))
        {
            return null;
        }

        string result = nodes[perceptron.DownProduct].Outputs[0];
        int column = Made(index, nodes[weighted].Input(0) == result ? nodes[weighted].Input(1) : nodes[weighted].Input(0), "Unsqueeze", users: 1);
        int ownShare = column < 0 || !HasAxis(index, column, 1) ? -1 : Made(index, nodes[column].Input(0), "Gather", users: 1);
        int places = Made(index, nodes[sum].Input(1), "Transpose", users: 1);
        bool fits = ownShare >= 0 && places >= 0 && nodes[ownShare].Int("axis", 0) == 0 && nodes[ownShare].Input(0) == nodes[share].Outputs[0] && nodes[ownShare].Input(1) == nodes[squeeze].Outputs[0]
            && nodes[places].Input(0) == nodes[where].Outputs[0];
        return !fits ? null : new Expert(
            number[0], nodes[own].Input(0), nodes[share].Input(0), perceptron, nodes[sum].Input(0), nodes[sum].Outputs[0], sum,
            [own, squeeze, where, share, perceptron.GateProduct, perceptron.UpProduct, .. perceptron.Between, perceptron.Product, perceptron.DownProduct, ownShare, column, weighted, places, sum]);
    }

    /// <summary>Position of the node that makes a value which so many inputs of nodes, and nothing else, read; below 0 when it is another operator.</summary>
    private static int Made(GraphIndex index, string value, string op, int users) =>
        index.ProducerIndex(value) is >= 0 and int at && index.Graph.Nodes[at].Is(op) && IsRead(index, value, users) ? at : -1;

    private static bool IsRead(GraphIndex index, string value, int users) => !index.IsOutput(value) && index.Uses(value).Count == users && !index.Uses(value).Any(u => u.IsCaptured(index.Graph));

    /// <summary>Position of the only node that reads a value; below 0 when it is another operator.</summary>
    private static int Reader(GraphIndex index, string value, string op) => IsRead(index, value, 1) && index.Uses(value)[0].Node.Is(op) ? index.Uses(value)[0].NodeIndex : -1;

    private static bool HasAxis(GraphIndex index, int node, long axis) =>
        SmallConstants.TryReadIntegers(index.Constant(index.Graph.Nodes[node].Input(1)), out ImmutableArray<long> axes) && axes is [var only] && only == axis;

    /// <summary>An expert.</summary>
    /// <param name="Number">Its column of the shares.</param>
    /// <param name="Input">x.</param>
    /// <param name="Shares">Shares of all experts.</param>
    /// <param name="Perceptron">What it computes.</param>
    /// <param name="Before">The sum without it.</param>
    /// <param name="After">The sum with it.</param>
    /// <param name="Sum">Position of the node that adds it.</param>
    /// <param name="Nodes">Positions of all of its nodes.</param>
    private sealed record Expert(long Number, string Input, string Shares, GatedPerceptron Perceptron, string Before, string After, int Sum, int[] Nodes);
}
