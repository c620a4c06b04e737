using ModelPack.Runtime;
using ModelPack.Runtime.Evaluation;

namespace ModelPack.Toolchain;

/// <summary>Times models on this machine.</summary>
public static class Benchmarking
{
    /// <summary>Load time, first run, latency and memory of a model, beside another one in the same run.</summary>
    /// <exception cref="ModelPackException">A model cannot be run.</exception>
    public static BenchModelResult Model(
        string model, string? against = null, int threads = 0, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
    {
        progress?.Report(new ToolProgress("bench", 0, 0, model));
        string[] paths = against is null ? [model] : [model, against];
        IReadOnlyList<ModelTimes> times = ModelBenchmark.Measure(paths, new ModelSessionOptions { Threads = threads }, cancellation: cancellation);
        BenchedModel first = Describe(times[0]);
        BenchedModel? second = times.Count > 1 ? Describe(times[1]) : null;
        return new BenchModelResult
        {
            Model = first,
            Against = second,
            Ratio = second is null ? null : second.MedianMs / first.MedianMs,
            Cpu = CpuName(),
            Threads = Pipelines.Threads(threads),
        };
    }

    private static BenchedModel Describe(ModelTimes times) => new()
    {
        Path = times.Path,
        LoadSeconds = times.LoadSeconds,
        FirstRunSeconds = times.FirstRunSeconds,
        MedianMs = times.Percentile(0.5) * 1000,
        P90Ms = times.Percentile(0.9) * 1000,
        RunsPerSecond = times.RunSeconds.Count / times.RunSeconds.Sum(),
        RssBytes = times.RssBytes,
    };

    internal static string CpuName()
    {
        const string CpuInfo = "/proc/cpuinfo";
        string? line = File.Exists(CpuInfo) ? File.ReadLines(CpuInfo).FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal)) : null;
        return line?[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim() ?? System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture.ToString();
    }
}
