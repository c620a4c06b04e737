namespace ModelPack.Toolchain;

/// <summary>Load and run times of a model, and of another beside it in the same run.</summary>
public sealed record BenchModelResult
{
    public required BenchedModel Model { get; init; }

    public BenchedModel? Against { get; init; }

    /// <summary>Median latency of <see cref="Against"/> / median latency of <see cref="Model"/>: above 1 means faster.</summary>
    public double? Ratio { get; init; }

    public required string Cpu { get; init; }

    public required int Threads { get; init; }
}

/// <summary>Times of one model. Seconds and milliseconds as named.</summary>
public sealed record BenchedModel
{
    public required string Path { get; init; }

    public required double LoadSeconds { get; init; }

    public required double FirstRunSeconds { get; init; }

    public required double MedianMs { get; init; }

    public required double P90Ms { get; init; }

    public required double RunsPerSecond { get; init; }

    /// <summary>Resident memory added by loading and running this model.</summary>
    public required long RssBytes { get; init; }
}
