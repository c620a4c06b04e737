using ModelPack.Runtime;
using ModelPack.Runtime.Evaluation;

namespace ModelPack.Toolchain;

/// <summary>Times models on this machine.</summary>
public static class Benchmarking
{
    private const int ColdStarts = 5;

    /// <summary>Load time, first run, latency and memory of a model, beside another one in the same run.</summary>
    /// <param name="model">An artifact or .onnx file.</param>
    /// <param name="against">Another with the same inputs, or null.</param>
    /// <param name="threads">Threads of a run; 0 means all cores.</param>
    /// <param name="weights">Where weights of artifacts are kept; null: in memory.</param>
    /// <param name="startProcess">
    /// Starts a process that calls <see cref="Start"/> on a path and gives its result; null leaves what only a new process can tell unmeasured.
    /// </param>
    /// <param name="sizes">Of free dimensions of the inputs and values of inputs that are one integer (<see cref="SampleInputs.Random(ModelSession, IReadOnlyDictionary{string, long})"/>); null: dimensions of 1.</param>
    /// <param name="progress">Told what is being measured.</param>
    /// <param name="cancellation">Checked between loads and runs.</param>
    /// <exception cref="ModelPackException">A model cannot be run; MP3004: it does not leave a size open.</exception>
    public static BenchModelResult Model(
        string model,
        string? against = null,
        int threads = 0,
        WeightStorage? weights = null,
        Func<string, ModelStart>? startProcess = null,
        IReadOnlyDictionary<string, long>? sizes = null,
        IProgress<ToolProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        progress?.Report(new ToolProgress("bench", 0, 0, model));
        string[] paths = against is null ? [model] : [model, against];
        IReadOnlyList<ModelTimes> times = ModelBenchmark.Measure(paths, WeightStorage.Options(threads, weights), Inputs(sizes), (path, options) => Open(path, options, sizes), cancellation);
        ModelStart[][] starts = startProcess is null ? [] : ColdStartsOf(paths, startProcess, progress, cancellation);
        BenchedModel[] rows = [.. times.Select((t, i) => Describe(t, starts.Length > 0 ? starts[i] : []))];
        return new BenchModelResult
        {
            Model = rows[0],
            Against = rows.Length > 1 ? rows[1] : null,
            Ratio = rows.Length > 1 ? rows[1].MedianMs / rows[0].MedianMs : null,
            Cpu = Processor.Name,
            Threads = Pipelines.Threads(threads),
        };
    }

    /// <summary>What a model costs this process, which must not have opened one before.</summary>
    /// <exception cref="ModelPackException">It cannot be opened or run.</exception>
    public static ModelStart Start(string model, int threads = 0, WeightStorage? weights = null, IReadOnlyDictionary<string, long>? sizes = null)
    {
        ColdStart start = ColdStart.Measure(model, WeightStorage.Options(threads, weights), ModelInput.Open, Inputs(sizes));
        return new ModelStart(start.LoadSeconds, start.FirstRunSeconds, start.RssBytes);
    }

    private static Func<ModelSession, IReadOnlyList<NamedTensor>>? Inputs(IReadOnlyDictionary<string, long>? sizes) => sizes is null ? null : session => SampleInputs.Random(session, sizes);

    private static ModelSession Open(string path, ModelSessionOptions options, IReadOnlyDictionary<string, long>? sizes)
    {
        ModelSession session = ModelInput.Open(path, options);
        return sizes is null ? session : ModelSession.TakenOver(session, () =>
        {
            SampleInputs.CheckSizes(session, sizes);
            return session;
        });
    }

    /// <summary>Turn by turn, so that noise of the machine meets all models alike. One process each is not counted: it brings the files into memory.</summary>
    private static ModelStart[][] ColdStartsOf(string[] paths, Func<string, ModelStart> startProcess, IProgress<ToolProgress>? progress, CancellationToken cancellation)
    {
        var starts = paths.Select(_ => new List<ModelStart>()).ToArray();
        for (int round = 0; round <= ColdStarts; round++)
        {
            for (int i = 0; i < paths.Length; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                progress?.Report(new ToolProgress("new processes", (round * paths.Length) + i, (ColdStarts + 1) * paths.Length, paths[i]));
                ModelStart start = startProcess(paths[i]);
                if (round > 0)
                {
                    starts[i].Add(start);
                }
            }
        }

        return [.. starts.Select(s => s.ToArray())];
    }

    private static BenchedModel Describe(ModelTimes times, ModelStart[] starts)
    {
        ModelStart? typical = starts.Length == 0 ? null : starts.OrderBy(s => s.LoadSeconds + s.FirstRunSeconds).ElementAt(starts.Length / 2);
        return new BenchedModel
        {
            Path = times.Path,
            LoadSeconds = times.LoadSeconds,
            FirstRunSeconds = times.FirstRunSeconds,
            ColdLoadSeconds = typical?.LoadSeconds,
            ColdFirstRunSeconds = typical?.FirstRunSeconds,
            MedianMs = times.Percentile(0.5) * 1000,
            P90Ms = times.Percentile(0.9) * 1000,
            RunsPerSecond = times.RunSeconds.Count / times.RunSeconds.Sum(),
            RssBytes = starts.Length == 0 ? null : starts.Select(s => s.RssBytes).Order().ElementAt(starts.Length / 2),
            Residency = times.Residency is Residency r ? Describe(r, times.Percentile(0.5)) : null,
        };
    }

    /// <param name="residency">What is read.</param>
    /// <param name="seconds">Of a run whose reading the system's file cache served.</param>
    private static BenchedResidency Describe(Residency residency, double seconds) => new()
    {
        WeightBytes = residency.WeightBytes,
        BudgetBytes = residency.BudgetBytes,
        StreamedBytes = residency.StreamedBytes,
        StorageBytesPerSecond = residency.StorageBytesPerSecond,
        StorageSeconds = residency.StorageTime?.TotalSeconds,
        Stalls = residency.StorageTime is TimeSpan time ? time.TotalSeconds > seconds : null,
    };
}
