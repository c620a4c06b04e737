namespace ModelPack.Toolchain;

/// <summary>What <c>pack</c> or <c>unpack</c> did.</summary>
public sealed record PackFileResult
{
    public required string Input { get; init; }

    public required string Output { get; init; }

    public required long InputBytes { get; init; }

    public required long OutputBytes { get; init; }

    /// <summary>Original bytes / packed bytes, whichever way it went.</summary>
    public required double Ratio { get; init; }

    public required double Seconds { get; init; }

    /// <summary>Original bytes per second, in 10^9.</summary>
    public required double Gbps { get; init; }

    /// <summary>Files written.</summary>
    public required IReadOnlyList<string> Files { get; init; }
}
