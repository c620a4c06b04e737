using System.Collections.Immutable;
using Microsoft.ML.OnnxRuntime;
using ModelPack.Kernels;
using ModelPack.OrtOps;
using ModelPack.Pack;
using ModelPack.Runtime.Graphs;
using ModelPack.Runtime.Loading;
using ModelPack.Runtime.Native;
using ModelPack.Runtime.Prepared;

namespace ModelPack.Runtime;

/// <summary>
/// A compiled artifact, ready to run: its graph, with weights decoded and bound as its execution plan says. Thread-safe, see <see cref="ModelSession"/>.
/// </summary>
public sealed class PackedModel : ModelSession
{
    /// <summary>Larger graphs cannot be handed to ONNX Runtime as bytes.</summary>
    private const int MaxGraphBytes = int.MaxValue - (1 << 16);

    /// <summary>Files that live as long as the session.</summary>
    private WeightFolder? _mapped;

    /// <summary>Weights that the session reads where they were decoded to, which live as long as it.</summary>
    private WeightsInPlace? _weights;

    /// <summary>The file that those are in; null where they are in anonymous memory.</summary>
    private PreparedFile? _prepared;

    private PackedModel(string path, InferenceSession session, ExecutionPlan plan)
        : base(path, session)
    {
        Plan = plan;
    }

    /// <summary>How the model is executed; for a model opened with <see cref="ModelSessionOptions.ExpandAll"/>, a plan without choices.</summary>
    public ExecutionPlan Plan { get; }

    /// <summary>How weights are read that do not all stay in memory; null unless <see cref="ModelSessionOptions.ResidentBytes"/> was given.</summary>
    public Residency? Residency { get; private init; }

    /// <summary>Opens an artifact: decodes its weights, verifying every checksum on the way, and makes it ready to run.</summary>
    /// <exception cref="ModelPackException">MP13xx: the artifact is damaged; MP5001 to MP5003: it cannot be executed.</exception>
    public static new PackedModel Open(string path, ModelSessionOptions? options = null)
    {
        Rehearsal.Begin();
        using PackReader reader = PackReader.Open(path);
        return Open(path, new PackSource(reader), options ?? new ModelSessionOptions());
    }

    /// <summary>Weights that operators read where they were decoded to.</summary>
    internal IReadOnlyList<WeightBuffer> BuffersInPlace => _weights?.Buffers ?? [];

    private protected override void Release()
    {
        _mapped?.Dispose();
        _weights?.Dispose();
        _prepared?.Dispose();
    }

    internal static PackedModel Open(string path, IWeightSource source, ModelSessionOptions options)
    {
        try
        {
            return OpenCore(path, source, options);
        }
        catch (ModelPackException e)
        {
            throw e.WithPath(path);
        }
    }

    /// <summary>Opens and closes an artifact for what the process gains by it.</summary>
    internal static void Rehearse(IWeightSource source)
    {
        using PackedModel model = OpenCore("", source, new ModelSessionOptions { Threads = 1 }, warmsKernels: false);
    }

    private static PackedModel OpenCore(string path, IWeightSource source, ModelSessionOptions options, bool warmsKernels = true)
    {
        string graphName = options.ExpandAll ? "graph" : "execution-graph";
        TensorData graph = source.Blob(graphName)
            ?? throw new ModelPackException(ErrorCodes.ArtifactWithoutGraph, "the artifact holds tensors only, no graph to execute: it was made from a checkpoint or by packing a file");
        byte[] model = graph.ToArray(MaxGraphBytes);
        byte[]? lastPosition = options.LastPositionOnly ? LastPosition.TryKeepOnly(model) : null;
        model = lastPosition ?? model;
        List<WeightlessGraph.Declaration> declarations = WeightlessGraph.FindExternal(model);
        ExecutionPlan plan = options.ExpandAll ? DensePlan(declarations) : ReadPlan(source);
        IReadOnlyList<InitializerBinding> bindings = WeightLoader.Match(declarations, plan.Bindings);
        if (warmsKernels)
        {
            WarmUpQueue.Add(() => TileKernels.WarmUp(plan, source));
        }

        if (options.PreparedFolder is string folder && PreparedFile.Open(folder, bindings, source, options) is PreparedFile prepared)
        {
            return OpenInPlace(path, model, prepared.Weights, prepared, plan, options, lastPosition is not null);
        }

        return options.ResidentBytes is long budget
            ? OpenResident(path, model, bindings, source, plan, budget, options, lastPosition is not null)
            : OpenInPlace(path, model, WeightLoader.Load(bindings, source, options.LoadThreads), null, plan, options, lastPosition is not null);
    }

    /// <summary>Own operators read their weights where they are; ONNX Runtime copies the others.</summary>
    /// <param name="path">The artifact.</param>
    /// <param name="model">Its graph.</param>
    /// <param name="weights">All weights, which this takes over.</param>
    /// <param name="prepared">The file that they are in, taken over too; null where they are in memory of their own. A window of memory only makes sense with one.</param>
    /// <param name="plan">How it is executed.</param>
    /// <param name="options">How it is opened.</param>
    /// <param name="lastPosition">The graph gives the last position only.</param>
    private static PackedModel OpenInPlace(string path, byte[] model, ImmutableArray<LoadedWeight> weights, PreparedFile? prepared, ExecutionPlan plan, ModelSessionOptions options, bool lastPosition)
    {
        ResidentWindow? window = prepared is not null && options.ResidentBytes is long budget ? new ResidentWindow(budget) : null;
        Task reading = prepared is not null && window is null ? prepared.ReadAhead(options.LoadThreads) : Task.CompletedTask;
        ImmutableArray<LoadedWeight> copied = [.. weights.Where(w => !w.IsReadInPlace)];
        var kept = new WeightsInPlace([.. weights.Where(w => w.IsReadInPlace)]);
        bool isOpen = false;
        try
        {
            using SessionOptions sessionOptions = MakeSessionOptions(options);
            OrtTable.AddExternalFilesInMemory(sessionOptions, copied);
            ResidentWindow.Current = window;
            InferenceSession session = CreateSession(path, model, copied, kept.Constants, sessionOptions);
            prepared?.GiveUpCopied();
            var opened = new PackedModel(path, session, plan)
            {
                GivesLastPosition = lastPosition,
                Residency = window is null ? null : new Residency(window.WeightBytes, window.BudgetBytes, window.StreamedBytes, null),
                _weights = kept,
                _prepared = prepared,
            };
            isOpen = true;
            return opened;
        }
        finally
        {
            ResidentWindow.Current = null;
            foreach (LoadedWeight weight in copied)
            {
                weight.Buffer.Dispose();
            }

            reading.Wait();
            if (!isOpen)
            {
                kept.Dispose();
                prepared?.Dispose();
            }
        }
    }

    /// <summary>Weights go through a temporary folder, from which ONNX Runtime maps them; the kernels made meanwhile share a window of memory.</summary>
    private static PackedModel OpenResident(
        string path, byte[] model, IReadOnlyList<InitializerBinding> bindings, IWeightSource source, ExecutionPlan plan, long budget, ModelSessionOptions options, bool lastPosition)
    {
        WeightFolder folder = WeightFolder.Create(path);
        try
        {
            ImmutableArray<LoadedWeight> weights = WeightLoader.LoadEach(bindings, source, options.LoadThreads, folder.Add);
            using SessionOptions sessionOptions = MakeSessionOptions(options);
            sessionOptions.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", folder.Path);
            var window = new ResidentWindow(budget);
            ResidentWindow.Current = window;
            InferenceSession session = CreateSession(path, model, weights, new Dictionary<string, byte[]>(), sessionOptions);
            return new PackedModel(path, session, plan)
            {
                GivesLastPosition = lastPosition,
                Residency = new Residency(window.WeightBytes, budget, window.StreamedBytes, folder.BytesPerSecond),
                _mapped = OperatingSystem.IsWindows() ? folder : null,
            };
        }
        finally
        {
            ResidentWindow.Current = null;
            folder.Dispose();
        }
    }

    private static InferenceSession CreateSession(string path, byte[] model, ImmutableArray<LoadedWeight> weights, IReadOnlyDictionary<string, byte[]> constants, SessionOptions options)
    {
        var locations = new Dictionary<string, LoadedWeight>(StringComparer.Ordinal);
        foreach (LoadedWeight weight in weights)
        {
            foreach (string initializer in weight.Initializers)
            {
                locations.Add(initializer, weight);
            }
        }

        byte[] relocated = WeightlessGraph.Relocate(model, locations, constants);

        // The bytes are an ONNX model whatever they look like: the loader must not take them for ONNX Runtime's own format.
        options.AddSessionConfigEntry("session.load_model_format", "ONNX");
        try
        {
            return OrtSessions.Create(() => new InferenceSession(relocated, options));
        }
        catch (OnnxRuntimeException e)
        {
            throw new ModelPackException(ErrorCodes.SessionNotCreated, $"ONNX Runtime: {Reason(e)}", path, innerException: e);
        }
    }

    private static ExecutionPlan ReadPlan(IWeightSource source)
    {
        TensorData plan = source.Blob("plan") ?? throw new ModelPackException(ErrorCodes.BadPlan, "the artifact has a graph and no execution plan");
        return ExecutionPlanJson.Read(plan.ToArray(MaxGraphBytes));
    }

    private static ExecutionPlan DensePlan(List<WeightlessGraph.Declaration> declarations) => new(
        "generic",
        [.. declarations.Select(d => new InitializerBinding(d.Name, d.Name, null, ElementTypes.FromOnnx(d.OnnxType), ToShape(d)))],
        []);

    private static Shape ToShape(WeightlessGraph.Declaration declaration) => Array.Exists(declaration.Dims, d => d < 0)
        ? throw new ModelPackException(ErrorCodes.BadPlan, "declared with a negative dimension", tensor: declaration.Name)
        : new Shape(declaration.Dims);
}
