namespace ModelPack.Toolchain;

/// <summary>One run of a model.</summary>
public sealed record RunResult
{
    public required string Model { get; init; }

    public required IReadOnlyList<RunOutput> Outputs { get; init; }

    /// <summary>Time of the run, without loading.</summary>
    public required double Seconds { get; init; }

    public required double LoadSeconds { get; init; }
}

/// <summary>One output; <see cref="File"/> when it was written.</summary>
public sealed record RunOutput(string Name, IReadOnlyList<long> Shape, string DType, string? File, IReadOnlyList<double> FirstValues);
