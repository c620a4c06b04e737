using ModelPack.Compiler;
using ModelPack.Compiler.Planning;
using ModelPack.Pack;
using ModelPack.Structures;

namespace ModelPack.Toolchain;

/// <summary>Predicts what the plan of an artifact costs on a machine.</summary>
internal static class PlanPrediction
{
    /// <summary>
    /// Costs of the planned nodes by position in the plan, null where sizes are not known; of the nodes of the graph that no cost of a planned product contains; and of the whole run.
    /// </summary>
    /// <param name="reader">The artifact.</param>
    /// <param name="plan">Its plan.</param>
    /// <param name="profile">The machine.</param>
    /// <param name="rows">Rows of activations where shapes do not tell.</param>
    /// <param name="memory">Shapes, by which nodes are predicted where all sizes are known; null without an execution graph.</param>
    /// <param name="threads">1, or all cores.</param>
    /// <param name="cancellation">Stops it.</param>
    public static (IReadOnlyList<NodeCost?> Nodes, IReadOnlyList<(Node Node, NodeCost? Cost)> Others, PredictedRun Run) Of(PackReader reader, ExecutionPlan plan, HardwareProfile profile, long rows, MemoryPrediction? memory, int threads, CancellationToken cancellation)
    {
        // A weight bound as several streams is as long as all of them.
        Dictionary<string, long> bytes = plan.Bindings
            .GroupBy(b => Whole(b.Tensor, reader), b => b.DType.StorageBytes(b.Shape.ElementCount), StringComparer.Ordinal)
            .ToDictionary(g => g.Key, g => g.Sum(), StringComparer.Ordinal);
        long model = bytes.Values.Sum();
        Graph graph = memory?.Shapes.Graph ?? Artifact.ReadModel(reader, cancellation).Graph;
        Dictionary<string, string> activations = graph.Nodes.Where(n => n.Name.Length > 0 && OperatorCosts.FusedActivation(n) is not null)
            .DistinctBy(n => n.Name, StringComparer.Ordinal).ToDictionary(n => n.Name, n => OperatorCosts.FusedActivation(n)!, StringComparer.Ordinal);
        MemoryPrediction? sized = memory is { IsSized: true } ? memory : null;
        NodeCost?[] products = [.. plan.Nodes.Select(node => node.Op is "MatMul" or "Gemm" && reader.Find(node.Tensor) is PackTensor { Shape.Rank: 2 } tensor
            ? Product(node, tensor)
            : null)];
        NodeCost Product(PlannedNode node, PackTensor tensor)
        {
            long sizedRows = sized?.Rows(node.Node, node.Tensor) ?? rows;
            long activationBytes = sized?.ActivationBytes(node.Node) ?? 0;

            // Which side of a Gemm's weight is which, its activations tell.
            bool isTransposed = node.Op == "Gemm" && activationBytes == sizedRows * tensor.Shape[1] * sizeof(float);
            (long outputs, long inputs) = isTransposed ? (tensor.Shape[0], tensor.Shape[1]) : (tensor.Shape[1], tensor.Shape[0]);

            // Of experts as many as a row visits, each with all rows: others are neither read nor begun.
            double visited = Experts.Visited(node.Kernel);
            HardwareProfile machine = visited < 1 ? profile with { LaunchMicroseconds = profile.LaunchMicroseconds * visited } : profile;
            NodeCost product = CostModel.Product(
                machine, node.Kernel, outputs, inputs, (long)(bytes.GetValueOrDefault(node.Tensor) * visited), sizedRows, threads, model, Density(node.Kernel, tensor) * visited, activationBytes, sized?.ResultBytes(node.Node) ?? 0);
            return activations.TryGetValue(node.Node, out string? activation)
                ? product with { Seconds = product.Seconds + OperatorCosts.ActivationSeconds(profile, activation, sizedRows * outputs, threads) }
                : product;
        }

        NodeCost[] known = [.. products.OfType<NodeCost>()];
        HashSet<string> counted = plan.Nodes.Where((_, i) => products[i] is not null).Select(n => n.Node).ToHashSet(StringComparer.Ordinal);
        Dictionary<string, string> kernels = plan.Nodes.DistinctBy(n => n.Node, StringComparer.Ordinal).ToDictionary(n => n.Node, n => n.Kernel, StringComparer.Ordinal);
        IReadOnlySet<string> joined = OperatorCosts.JoinedNodes(graph);
        (Node Node, NodeCost? Cost)[] others = [.. graph.Nodes.Where(n => !counted.Contains(n.Name) && !joined.Contains(n.Name) && !OperatorCosts.IsProduct(n)).Select(n =>
            (n, sized is null ? null : OperatorCosts.Of(profile, n, sized.Shapes, threads, kernels.GetValueOrDefault(n.Name, "expand"))))];
        Dictionary<string, NodeCost> byName = others.Where(o => o.Cost is not null && o.Node.Name.Length > 0).DistinctBy(o => o.Node.Name, StringComparer.Ordinal).ToDictionary(o => o.Node.Name, o => o.Cost!, StringComparer.Ordinal);
        NodeCost?[] nodes = [.. products.Select((cost, i) => cost ?? byName.GetValueOrDefault(plan.Nodes[i].Node))];
        double productSeconds = known.Sum(n => n.Seconds);
        double otherSeconds = others.Sum(o => o.Cost?.Seconds ?? (profile.LaunchMicroseconds * 1e-6));
        double seconds = productSeconds + otherSeconds;
        double flops = known.Sum(n => n.Flops) + others.Sum(o => o.Cost?.Flops ?? 0);
        long read = known.Sum(n => n.Bytes);
        double peak = profile.Gflops["f32"] * 1e9 * (threads == 1 ? 1.0 / profile.Cores : 1);
        double used = seconds <= 0 ? 0 : 0.3 + (0.4 * Math.Min(1, flops / peak / seconds)) + (0.2 * Math.Min(1, read / (profile.MemoryGbps * 1e9) / seconds));
        return (nodes, others, new PredictedRun
        {
            Profile = profile.Name,
            Rows = rows,
            Threads = threads,
            LoadSeconds = profile.LoadGbps > 0 ? (profile.OpenMilliseconds / 1e3) + ((counted.Count + others.Length) * profile.OpenNodeMicroseconds / 1e6) + (model / (profile.LoadGbps * 1e9)) : null,
            Seconds = seconds,
            ProductSeconds = productSeconds,
            OtherNodes = others.Length,
            OtherSeconds = otherSeconds,
            WeightBytes = read,
            Flops = flops,
            MeasuredShare = productSeconds <= 0 ? 0 : known.Sum(n => n.Measured ? n.Seconds : 0) / productSeconds,
            EstimatedJoules = profile.Watts > 0 ? seconds * profile.Watts * used : null,
        });
    }

    /// <summary>The tensor that a component, or one of a component, belongs to.</summary>
    internal static string Whole(string name, PackReader reader) =>
        InitializerBinding.SplitComponent(name) is (string tensor, _) && reader.Find(tensor) is not null ? Whole(tensor, reader) : name;

    /// <summary>Share of the multiplications of the dense product.</summary>
    private static double Density(string kernel, PackTensor tensor) =>
        kernel.StartsWith(SparseMatMul.Name, StringComparison.Ordinal) ? SparseMatrix.Facts(tensor.Encoding)?.Density ?? 1
        : LowRankMatMul.IsTaken(kernel) ? LowRankMatMul.Share(tensor.Encoding) ?? 1
        : 1;
}
