using ModelPack.Compiler.Planning;
using ModelPack.Pack;
using ModelPack.Structures;

namespace ModelPack.Toolchain;

/// <summary>Predicts what the plan of an artifact costs on a machine.</summary>
internal static class PlanPrediction
{
    /// <summary>Costs of the planned products by position in the plan, null for other nodes, and of the whole run.</summary>
    /// <param name="reader">The artifact.</param>
    /// <param name="plan">Its plan.</param>
    /// <param name="profile">The machine.</param>
    /// <param name="rows">Rows of activations where shapes do not tell.</param>
    /// <param name="rowsOf">Rows of activations of a node by shapes.</param>
    /// <param name="threads">1, or all cores.</param>
    /// <param name="cancellation">Stops it.</param>
    public static (IReadOnlyList<NodeCost?> Nodes, PredictedRun Run) Of(PackReader reader, ExecutionPlan plan, HardwareProfile profile, long rows, Func<string, long?> rowsOf, int threads, CancellationToken cancellation)
    {
        // A weight bound as several streams is as long as all of them.
        Dictionary<string, long> bytes = plan.Bindings
            .GroupBy(b => Whole(b.Tensor, reader), b => b.DType.StorageBytes(b.Shape.ElementCount), StringComparer.Ordinal)
            .ToDictionary(g => g.Key, g => g.Sum(), StringComparer.Ordinal);
        long model = bytes.Values.Sum();
        NodeCost?[] nodes = [.. plan.Nodes.Select(node => node.Op is "MatMul" or "Gemm" && reader.Find(node.Tensor) is PackTensor { Shape.Rank: 2 } tensor
            ? CostModel.Product(profile, node.Kernel, tensor.Shape[0], tensor.Shape[1], bytes.GetValueOrDefault(node.Tensor), rowsOf(node.Node) ?? rows, threads, model, Density(node.Kernel, tensor))
            : null)];
        int products = nodes.Count(n => n is not null);
        int others = Math.Max(0, Artifact.ReadModel(reader, cancellation).Graph.Nodes.Length - products);
        double productSeconds = nodes.Sum(n => n?.Seconds ?? 0);
        double seconds = productSeconds + (others * profile.LaunchMicroseconds * 1e-6);
        double flops = nodes.Sum(n => n?.Flops ?? 0);
        long read = nodes.Sum(n => n?.Bytes ?? 0);
        double peak = profile.Gflops["f32"] * 1e9 * (threads == 1 ? 1.0 / profile.Cores : 1);
        double used = seconds <= 0 ? 0 : 0.3 + (0.4 * Math.Min(1, flops / peak / seconds)) + (0.2 * Math.Min(1, read / (profile.MemoryGbps * 1e9) / seconds));
        return (nodes, new PredictedRun
        {
            Profile = profile.Name,
            Rows = rows,
            Threads = threads,
            LoadSeconds = profile.LoadGbps > 0 ? (profile.OpenMilliseconds / 1e3) + ((products + others) * profile.OpenNodeMicroseconds / 1e6) + (model / (profile.LoadGbps * 1e9)) : null,
            Seconds = seconds,
            ProductSeconds = productSeconds,
            OtherNodes = others,
            WeightBytes = read,
            Flops = flops,
            MeasuredShare = productSeconds <= 0 ? 0 : nodes.Sum(n => n is { Measured: true } ? n.Seconds : 0) / productSeconds,
            EstimatedJoules = profile.Watts > 0 ? seconds * profile.Watts * used : null,
        });
    }

    /// <summary>The tensor that a component, or one of a component, belongs to.</summary>
    private static string Whole(string name, PackReader reader) =>
        InitializerBinding.SplitComponent(name) is (string tensor, _) && reader.Find(tensor) is not null ? Whole(tensor, reader) : name;

    /// <summary>Share of the multiplications of the dense product.</summary>
    private static double Density(string kernel, PackTensor tensor) =>
        kernel.StartsWith(SparseMatMul.Name, StringComparison.Ordinal) ? SparseMatrix.Facts(tensor.Encoding)?.Density ?? 1
        : LowRankMatMul.IsTaken(kernel) ? LowRankMatMul.Share(tensor.Encoding) ?? 1
        : 1;
}
