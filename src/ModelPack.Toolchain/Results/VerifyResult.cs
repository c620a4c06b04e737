namespace ModelPack.Toolchain;

/// <summary>Whether an artifact is intact, and what is wrong if not.</summary>
public sealed record VerifyResult
{
    public required string Path { get; init; }

    public bool Ok => Errors.Count == 0;

    /// <summary>One line each, naming tensor and chunk.</summary>
    public required IReadOnlyList<string> Errors { get; init; }

    /// <summary>Whether the data was decoded and its checksum compared too; false when only the stored bytes were checked.</summary>
    public required bool Decoded { get; init; }

    public required int TensorsChecked { get; init; }

    public required long BytesChecked { get; init; }

    public required double Seconds { get; init; }

    /// <summary>What the check could not, or could in addition, say; null for nothing. For differences from a base: whether the base was there.</summary>
    public string? Note { get; init; }

    /// <summary>With <c>--against</c>: difference of every tensor from the original.</summary>
    public IReadOnlyList<ComparedTensor> Differences { get; init; } = [];

    /// <summary>With <c>--rederive</c>: whether compiling again gave the same bytes.</summary>
    public bool? Rederived { get; init; }
}
