using ModelPack.Toolchain;

namespace ModelPack.Cli;

/// <summary>The JSON form of <c>bench model</c>: the measured model's numbers at the top, the other model beside them.</summary>
internal sealed record BenchModelDocument
{
    public required string Path { get; init; }

    public required double LoadSeconds { get; init; }

    public required double FirstRunSeconds { get; init; }

    public double? ColdLoadSeconds { get; init; }

    public double? ColdFirstRunSeconds { get; init; }

    public required double MedianMs { get; init; }

    public required double P90Ms { get; init; }

    public required double RunsPerSecond { get; init; }

    public long? RssBytes { get; init; }

    /// <summary>With <c>--resident</c>.</summary>
    public BenchedResidency? Residency { get; init; }

    /// <summary>Median of the other model / median of this one; null without <c>--against</c>.</summary>
    public double? Ratio { get; init; }

    public BenchedModel? Against { get; init; }

    /// <summary>With <c>--nodes</c>.</summary>
    public BenchedNodes? Nodes { get; init; }

    public required string Cpu { get; init; }

    public required int Threads { get; init; }

    public static BenchModelDocument Of(BenchModelResult result) => new()
    {
        Path = result.Model.Path,
        LoadSeconds = result.Model.LoadSeconds,
        FirstRunSeconds = result.Model.FirstRunSeconds,
        ColdLoadSeconds = result.Model.ColdLoadSeconds,
        ColdFirstRunSeconds = result.Model.ColdFirstRunSeconds,
        MedianMs = result.Model.MedianMs,
        P90Ms = result.Model.P90Ms,
        RunsPerSecond = result.Model.RunsPerSecond,
        RssBytes = result.Model.RssBytes,
        Residency = result.Model.Residency,
        Ratio = result.Ratio,
        Against = result.Against,
        Nodes = result.Nodes,
        Cpu = result.Cpu,
        Threads = result.Threads,
    };
}
