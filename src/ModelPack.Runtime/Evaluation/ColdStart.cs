using System.Diagnostics;
using Microsoft.ML.OnnxRuntime;

namespace ModelPack.Runtime.Evaluation;

/// <summary>What a model costs a process that has opened none before: just-in-time compilation is in the times, memory of earlier models is not in the size.</summary>
/// <param name="LoadSeconds">Opening it, weights decoded, session ready.</param>
/// <param name="FirstRunSeconds">The first run.</param>
/// <param name="RssBytes">Resident memory added by both.</param>
public sealed record ColdStart(double LoadSeconds, double FirstRunSeconds, long RssBytes)
{
    /// <summary>Opens a model and runs it once. Means what it says only as the first use of models in a process.</summary>
    /// <param name="path">The model.</param>
    /// <param name="options">How to open it.</param>
    /// <param name="open">Opens a model; null for artifacts and .onnx files.</param>
    /// <param name="inputs">Inputs of the run; null for seeded noise with free dimensions of 1.</param>
    /// <exception cref="ModelPackException">The model cannot be opened or run.</exception>
    public static ColdStart Measure(string path, ModelSessionOptions options, Func<string, ModelSessionOptions, ModelSession>? open = null, Func<ModelSession, IReadOnlyList<NamedTensor>>? inputs = null)
    {
        _ = OrtEnv.Instance(); // Loading ONNX Runtime's library is no model's cost.
        long rss = Environment.WorkingSet;
        long start = Stopwatch.GetTimestamp();
        using ModelSession session = (open ?? ModelSession.Open)(path, options);
        double load = Stopwatch.GetElapsedTime(start).TotalSeconds;
        IReadOnlyList<NamedTensor> sample = inputs?.Invoke(session) ?? SampleInputs.Random(session);
        start = Stopwatch.GetTimestamp();
        session.Run(sample);
        double run = Stopwatch.GetElapsedTime(start).TotalSeconds;
        return new ColdStart(load, run, Math.Max(0, Environment.WorkingSet - rss));
    }
}
