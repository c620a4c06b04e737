using System.Collections.Immutable;
using ModelPack.Compiler;
using ModelPack.Compiler.Planning;
using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>Nodes of an execution graph that have one prediction together.</summary>
/// <param name="Nodes">Their positions in the graph; none where the graph no longer holds what was planned.</param>
/// <param name="Kernel">What the plan chose; null for nodes without a compressed weight.</param>
/// <param name="Seconds">What is predicted; null where sizes are not known.</param>
internal sealed record PredictedNodes(ImmutableArray<int> Nodes, string? Kernel, double? Seconds)
{
    /// <summary>Which nodes of the graph the costs of a plan are costs of. Every node is in one group.</summary>
    /// <param name="graph">The execution graph.</param>
    /// <param name="plan">The plan.</param>
    /// <param name="reader">The artifact.</param>
    /// <param name="costs">Of the planned nodes, by position in the plan.</param>
    /// <param name="others">Of nodes that no planned product contains.</param>
    public static IReadOnlyList<PredictedNodes> Of(Graph graph, ExecutionPlan plan, PackReader reader, IReadOnlyList<NodeCost?> costs, IReadOnlyList<(Node Node, NodeCost? Cost)> others)
    {
        var groups = new Partition(graph.Nodes.Length);
        var seconds = new double?[graph.Nodes.Length];
        var kernels = new SortedSet<string>?[graph.Nodes.Length];
        Dictionary<Node, int> positions = Positions(graph);
        Dictionary<string, string> byName = plan.Nodes.DistinctBy(n => n.Node, StringComparer.Ordinal).ToDictionary(n => n.Node, n => n.Kernel, StringComparer.Ordinal);
        foreach ((Node node, NodeCost? cost) in others)
        {
            seconds[positions[node]] = cost?.Seconds;
        }

        for (int i = 0; i < graph.Nodes.Length; i++)
        {
            kernels[i] = byName.TryGetValue(graph.Nodes[i].Handle, out string? kernel) ? [kernel] : null;
        }

        Join(graph, groups, seconds);
        List<int>[] owned = Owned(graph, plan, reader, costs);
        var gone = new List<PredictedNodes>();
        var isOwned = new HashSet<int>();
        for (int p = 0; p < owned.Length; p++)
        {
            if (costs[p] is not NodeCost cost || !IsProduct(plan.Nodes[p]))
            {
                continue;
            }

            if (owned[p].Count == 0)
            {
                gone.Add(new PredictedNodes([], plan.Nodes[p].Kernel, cost.Seconds));
                continue;
            }

            foreach (int node in owned[p])
            {
                groups.Union(owned[p][0], node);

                // What it costs by its shapes is part of what the product was predicted to cost.
                seconds[node] = isOwned.Add(node) ? 0 : seconds[node];
            }

            seconds[owned[p][0]] += cost.Seconds;
            (kernels[owned[p][0]] ??= []).Add(plan.Nodes[p].Kernel);
        }

        return
        [
            .. groups.Sets().Select(set => new PredictedNodes(
                set,
                string.Join(", ", set.SelectMany(i => kernels[i] ?? []).Distinct(StringComparer.Ordinal)) is { Length: > 0 } names ? names : null,
                set.Any(i => seconds[i] is null) ? null : set.Sum(i => seconds[i]))),
            .. gone,
        ];
    }

    /// <summary>Nodes that cost nothing of their own belong to what makes their input.</summary>
    private static void Join(Graph graph, Partition groups, double?[] seconds)
    {
        IReadOnlySet<string> joined = OperatorCosts.JoinedNodes(graph);
        var producers = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int i = 0; i < graph.Nodes.Length; i++)
        {
            Node node = graph.Nodes[i];
            if (joined.Contains(node.Name))
            {
                seconds[i] = 0;
                if (node.Inputs.FirstOrDefault(v => producers.TryGetValue(v, out int at) && !graph.Nodes[at].Is("Constant")) is string value)
                {
                    groups.Union(producers[value], i);
                }
            }

            foreach (string output in node.Outputs)
            {
                producers[output] = i;
            }
        }
    }

    /// <summary>For every planned product the nodes that read its weight, as it is stored or turned and converted before.</summary>
    private static List<int>[] Owned(Graph graph, ExecutionPlan plan, PackReader reader, IReadOnlyList<NodeCost?> costs)
    {
        ILookup<string, int> products = Enumerable.Range(0, plan.Nodes.Length).Where(p => costs[p] is not null && IsProduct(plan.Nodes[p])).ToLookup(p => plan.Nodes[p].Tensor, StringComparer.Ordinal);
        HashSet<(string Tensor, string Node)> others = [.. Enumerable.Range(0, plan.Nodes.Length).Where(p => costs[p] is null || !IsProduct(plan.Nodes[p])).Select(p => (plan.Nodes[p].Tensor, plan.Nodes[p].Node))];
        List<int>[] owned = [.. plan.Nodes.Select(_ => new List<int>())];
        var tensors = plan.Bindings.ToDictionary(b => b.Initializer, b => PlanPrediction.Whole(b.Tensor, reader), StringComparer.Ordinal);
        for (int i = 0; i < graph.Nodes.Length; i++)
        {
            Node node = graph.Nodes[i];
            foreach (string tensor in node.Inputs.Where(tensors.ContainsKey).Select(v => tensors[v]).Distinct(StringComparer.Ordinal))
            {
                if (!others.Contains((tensor, node.Handle)) && Owner(node, [.. products[tensor]], plan) is int owner)
                {
                    owned[owner].Add(i);
                }
            }

            if (node.OpType is "Transpose" or "Cast" or "DequantizeLinear" && node.Inputs.Length > 0 && tensors.TryGetValue(node.Inputs[0], out string? whole))
            {
                tensors.TryAdd(node.Outputs[0], whole);
            }
        }

        return owned;
    }

    /// <summary>Of several products with one weight the one whose name the node has, or begins with.</summary>
    private static int? Owner(Node node, int[] products, ExecutionPlan plan) => products switch
    {
        [] => null,
        [int only] => only,
        _ => products.Where(p => node.Handle == plan.Nodes[p].Node || node.Name.StartsWith(plan.Nodes[p].Node + "_", StringComparison.Ordinal)).OrderByDescending(p => plan.Nodes[p].Node.Length).Append(products[0]).First(),
    };

    private static bool IsProduct(PlannedNode node) => node.Op is "MatMul" or "Gemm";

    private static Dictionary<Node, int> Positions(Graph graph)
    {
        var positions = new Dictionary<Node, int>(ReferenceEqualityComparer.Instance);
        for (int i = 0; i < graph.Nodes.Length; i++)
        {
            positions[graph.Nodes[i]] = i;
        }

        return positions;
    }
}
