using System.Collections.Immutable;
using ModelPack.Compiler;
using ModelPack.Compiler.Planning;
using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>Measures every node of a model, beside what its plan predicts, as <c>explain</c> shows it.</summary>
/// <remarks>
/// Times are those of ONNX Runtime's profiler, medians of at least 20 runs. Writing an event costs it about 10 microseconds after every node, in which threads that wait for work may fall asleep: on several threads short nodes
/// take longer than in runs that are not measured, and the times of all nodes are not the time of such a run.
/// </remarks>
public static class NodeBenchmark
{
    /// <summary>Weights that ONNX Runtime may write to a temporary file, with its own form of the graph.</summary>
    private const long MostWrittenBytes = 1L << 30;

    /// <summary>Measures and compares.</summary>
    /// <param name="model">An artifact; of other models nothing is predicted.</param>
    /// <param name="profile">The machine to predict for; null for the one the artifact was compiled for, if any.</param>
    /// <param name="threads">Threads of a run; 0 means all cores. Predicted are 1, or all cores of the profile.</param>
    /// <param name="weights">Where weights of artifacts are kept; null: in memory.</param>
    /// <param name="sizes">Of free dimensions of the inputs, and values of inputs that are one integer; null: dimensions of 1.</param>
    /// <param name="progress">Told what is being measured.</param>
    /// <param name="cancellation">Checked between runs.</param>
    /// <exception cref="ModelPackException">The model cannot be run; MP3004: it does not leave a size open; MP5005: ONNX Runtime's profile cannot be read.</exception>
    public static BenchedNodes Measure(
        string model,
        HardwareProfile? profile = null,
        int threads = 0,
        WeightStorage? weights = null,
        IReadOnlyDictionary<string, long>? sizes = null,
        IProgress<ToolProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(model);
        progress?.Report(new ToolProgress("nodes", 0, 0, model));
        bool isArtifact = !ModelInput.IsCheckpoint(model) && PackReader.IsNamedOrIsArtifact(model);
        using PackReader? reader = isArtifact ? PackReader.Open(model) : null;
        ExecutionPlan? plan = reader is null ? null : Artifact.ReadPlan(reader);
        profile ??= reader is null ? null : Artifact.ReadProfile(reader);
        string? why = plan is null ? "only artifacts have a plan to predict from: compile the model"
            : profile is null ? "no hardware profile was given, and the artifact was compiled for none"
            : profile.Kind != "cpu" ? $"the profile {profile.Name} is that of a {profile.Kind}, and nodes run on this processor"
            : null;
        bool optimized = why is null && WrittenBytes(plan!, weights) <= MostWrittenBytes;
        (NodeTimes times, IReadOnlyDictionary<string, long> used, Graph? graph) =
            NodeTimer.Measure(model, WeightStorage.Options(threads, weights), sizes ?? ImmutableDictionary<string, long>.Empty, optimized, cancellation);
        int predictedThreads = Pipelines.Threads(threads) == 1 ? 1 : profile?.Cores ?? 0;
        (IReadOnlyList<BenchedNode> rows, IReadOnlyList<PredictedNodes> notRun) = why is null
            ? Compare(reader!, plan!, profile!, predictedThreads, times, used, graph, cancellation)
            : NodePairing.Rows(times.Nodes, [], []);
        BenchedNode[] shown = [.. rows.Where(r => r.Share >= BenchedNodes.LeastShare)];
        return new BenchedNodes
        {
            Runs = times.Runs,
            RunSeconds = times.RunSeconds,
            NodeSeconds = times.Nodes.Sum(n => n.Seconds),
            Sizes = used,
            Profile = why is null ? new BenchedProfile(profile!.Name, profile.Source, profile.Kernels.Count > 0, predictedThreads) : null,
            NotPredicted = why,
            Nodes = shown,
            Within = shown.Count(r => r.Within == true),
            Predicted = Sum(shown.Where(r => r.Ratio is not null)),
            Small = Sum(rows.Where(r => r.Share < BenchedNodes.LeastShare && r.Ratio is not null)),
            Unpredicted = Sum(rows.Where(r => r.Ratio is null)),
            UnpredictedNames = [.. rows.Where(r => r.Ratio is null).Select(r => r.Name)],
            NotRun = new BenchedSum(notRun.Count, notRun.Sum(n => n.Seconds ?? 0), 0),
        };
    }

    private static (IReadOnlyList<BenchedNode> Rows, IReadOnlyList<PredictedNodes> NotRun) Compare(
        PackReader reader, ExecutionPlan plan, HardwareProfile profile, int threads, NodeTimes times, IReadOnlyDictionary<string, long> sizes, Graph? optimized, CancellationToken cancellation)
    {
        // All sizes are known, so that rows are only asked for where shapes cannot be inferred.
        MemoryPrediction? memory = MemoryPrediction.Of(reader, plan, sizes, 1, cancellation);
        (IReadOnlyList<NodeCost?> costs, IReadOnlyList<(Node Node, NodeCost? Cost)> others, _) = PlanPrediction.Of(reader, plan, profile, 1, memory, threads, cancellation);
        Graph graph = memory?.Shapes.Graph ?? Artifact.ReadModel(reader, cancellation).Graph;
        IReadOnlyList<PredictedNodes> predicted = PredictedNodes.Of(graph, plan, reader, costs, others);
        return NodePairing.Rows(times.Nodes, NodePairing.Find(graph, times.Nodes, optimized), predicted);
    }

    private static BenchedSum Sum(IEnumerable<BenchedNode> rows)
    {
        BenchedNode[] all = [.. rows];
        return new BenchedSum(all.Length, all.Sum(r => r.PredictedSeconds ?? 0), all.Sum(r => r.MeasuredSeconds));
    }

    /// <summary>Bytes of the weights that are in the session: others are read where they were decoded to.</summary>
    private static long WrittenBytes(ExecutionPlan plan, WeightStorage? weights) =>
        plan.Bindings.Where(b => weights?.ResidentBytes is not null || b.Role is not (InitializerBinding.Tiles or InitializerBinding.NeuronRows)).Sum(b => b.DType.StorageBytes(b.Shape.ElementCount));
}
