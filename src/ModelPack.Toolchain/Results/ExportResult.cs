namespace ModelPack.Toolchain;

/// <summary>Files written for another runtime.</summary>
public sealed record ExportResult
{
    public required string Input { get; init; }

    public required string To { get; init; }

    public required IReadOnlyList<string> Files { get; init; }

    /// <summary>Runtimes that load the result, with the oldest version known to.</summary>
    public required IReadOnlyList<string> LoadableBy { get; init; }

    /// <summary>What a user should know about the result.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>Tensors that an interrupted export had written.</summary>
    public int ResumedTensors { get; init; }

    public required double Seconds { get; init; }
}
