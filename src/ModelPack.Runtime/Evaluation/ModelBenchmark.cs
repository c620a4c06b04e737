using System.Diagnostics;

namespace ModelPack.Runtime.Evaluation;

/// <summary>Times of one model.</summary>
/// <param name="Path">The file.</param>
/// <param name="LoadSeconds">Opening it, weights decoded, session ready.</param>
/// <param name="FirstRunSeconds">The first run.</param>
/// <param name="RunSeconds">Every later run, in order.</param>
/// <param name="Residency">How it reads weights that do not all stay in memory.</param>
public sealed record ModelTimes(string Path, double LoadSeconds, double FirstRunSeconds, IReadOnlyList<double> RunSeconds, Residency? Residency = null)
{
    /// <summary>The run time that <paramref name="share"/> of the runs do not exceed, in seconds.</summary>
    public double Percentile(double share)
    {
        double[] sorted = [.. RunSeconds.Order()];
        return sorted[Math.Clamp((int)Math.Ceiling(share * sorted.Length) - 1, 0, sorted.Length - 1)];
    }
}

/// <summary>Measures models, two of them turn by turn in the same process so that noise of the machine meets both alike.</summary>
public static class ModelBenchmark
{
    private const int Loads = 5;
    private const int MinRuns = 20;
    private const int MaxRuns = 500;
    private static readonly TimeSpan TimePerModel = TimeSpan.FromSeconds(3);

    /// <summary>Times loading, the first run and the runs after it.</summary>
    /// <param name="paths">One or two models with the same inputs.</param>
    /// <param name="options">How to open them.</param>
    /// <param name="inputs">Inputs of a run, made for the first model; null for seeded noise with free dimensions of 1.</param>
    /// <param name="open">Opens a model; null for artifacts and .onnx files.</param>
    /// <param name="cancellation">Checked before every load and run.</param>
    /// <remarks>
    /// Every model is loaded several times, turn by turn, after one load of each that is not counted: it pays for starting ONNX Runtime and for the
    /// just-in-time compiler. The fastest load is reported. What a new process pays, and memory, are <see cref="ColdStart"/>'s to measure.
    /// </remarks>
    public static IReadOnlyList<ModelTimes> Measure(
        IReadOnlyList<string> paths, ModelSessionOptions options, Func<ModelSession, IReadOnlyList<NamedTensor>>? inputs = null,
        Func<string, ModelSessionOptions, ModelSession>? open = null, CancellationToken cancellation = default)
    {
        open ??= ModelSession.Open;
        IReadOnlyList<NamedTensor>? sample = null;
        Start[] best = [.. paths.Select(_ => new Start(double.MaxValue, double.MaxValue))];
        var sessions = new List<ModelSession>();
        try
        {
            for (int round = 0; round <= Loads; round++)
            {
                for (int i = 0; i < paths.Count; i++)
                {
                    cancellation.ThrowIfCancellationRequested();
                    (ModelSession session, Start start) = Open(() => open(paths[i], options), inputs, ref sample);
                    best[i] = round > 0 && start.Total < best[i].Total ? start : best[i];
                    if (round == Loads)
                    {
                        sessions.Add(session);
                    }
                    else
                    {
                        session.Dispose();
                    }
                }
            }

            List<double>[] times = [.. sessions.Select(_ => new List<double>())];
            while (times[0].Count < MinRuns || (times[0].Count < MaxRuns && times.Min(t => t.Sum()) < TimePerModel.TotalSeconds))
            {
                cancellation.ThrowIfCancellationRequested();
                for (int i = 0; i < sessions.Count; i++)
                {
                    times[i].Add(Time(sessions[i], sample!));
                }
            }

            return [.. best.Select((s, i) => new ModelTimes(paths[i], s.LoadSeconds, s.FirstRunSeconds, times[i], (sessions[i] as PackedModel)?.Residency))];
        }
        finally
        {
            sessions.ForEach(s => s.Dispose());
        }
    }

    private static (ModelSession Session, Start Start) Open(
        Func<ModelSession> open, Func<ModelSession, IReadOnlyList<NamedTensor>>? inputs, ref IReadOnlyList<NamedTensor>? sample)
    {
        long start = Stopwatch.GetTimestamp();
        ModelSession session = open();
        double load = Stopwatch.GetElapsedTime(start).TotalSeconds;
        try
        {
            sample ??= inputs?.Invoke(session) ?? SampleInputs.Random(session);
            double first = Time(session, sample);
            return (session, new Start(load, first));
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    private readonly record struct Start(double LoadSeconds, double FirstRunSeconds)
    {
        public double Total => LoadSeconds + FirstRunSeconds;
    }

    private static double Time(ModelSession session, IReadOnlyList<NamedTensor> inputs)
    {
        long start = Stopwatch.GetTimestamp();
        session.Run(inputs);
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
