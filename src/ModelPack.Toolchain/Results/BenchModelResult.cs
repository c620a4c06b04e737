namespace ModelPack.Toolchain;

/// <summary>Load and run times of a model, and of another beside it in the same run.</summary>
public sealed record BenchModelResult
{
    public required BenchedModel Model { get; init; }

    public BenchedModel? Against { get; init; }

    /// <summary>Median latency of <see cref="Against"/> / median latency of <see cref="Model"/>: above 1 means faster.</summary>
    public double? Ratio { get; init; }

    /// <summary>Time of every node of <see cref="Model"/> (<see cref="NodeBenchmark"/>); null where it was not asked for.</summary>
    public BenchedNodes? Nodes { get; init; }

    public required string Cpu { get; init; }

    public required int Threads { get; init; }
}

/// <summary>Times of one model. Seconds and milliseconds as named.</summary>
public sealed record BenchedModel
{
    public required string Path { get; init; }

    /// <summary>Opening it in a process that has opened models before; the fastest of several.</summary>
    public required double LoadSeconds { get; init; }

    /// <summary>The first run after that.</summary>
    public required double FirstRunSeconds { get; init; }

    /// <summary>Opening it in a new process, just-in-time compilation included; the median of several processes. Null when none was started.</summary>
    public double? ColdLoadSeconds { get; init; }

    /// <summary>The first run after that.</summary>
    public double? ColdFirstRunSeconds { get; init; }

    public required double MedianMs { get; init; }

    public required double P90Ms { get; init; }

    public required double RunsPerSecond { get; init; }

    /// <summary>Resident memory that loading and one run of this model add to a new process; the median of several. Null when none was started.</summary>
    public long? RssBytes { get; init; }

    /// <summary>How weights are read that do not all stay in memory; null unless memory for them was limited.</summary>
    public BenchedResidency? Residency { get; init; }
}

/// <summary>A model with less memory than weights.</summary>
public sealed record BenchedResidency
{
    /// <summary>Weights that its operators read packed.</summary>
    public required long WeightBytes { get; init; }

    /// <summary>Memory for them.</summary>
    public required long BudgetBytes { get; init; }

    /// <summary>Bytes that every run reads again.</summary>
    public required long StreamedBytes { get; init; }

    /// <summary>How fast the storage was when the model was opened; null where that could not be measured.</summary>
    public double? StorageBytesPerSecond { get; init; }

    /// <summary>Predicted time of reading these bytes from the storage; null as above.</summary>
    public double? StorageSeconds { get; init; }

    /// <summary>Predicted: true when runs wait for the storage, because reading takes longer than what was measured with the system's file cache; false when it hides behind computing.</summary>
    public bool? Stalls { get; init; }
}
