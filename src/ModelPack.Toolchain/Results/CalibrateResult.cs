namespace ModelPack.Toolchain;

/// <summary>What a calibration collected. Sizes in bytes, times in seconds.</summary>
public sealed record CalibrateResult
{
    public required string Input { get; init; }

    public required string Output { get; init; }

    public required long OutputBytes { get; init; }

    /// <summary><c>tokens</c> or <c>npy</c>.</summary>
    public required string DataKind { get; init; }

    /// <summary>Name of the file or folder.</summary>
    public required string DataName { get; init; }

    /// <summary>XXH3-128 of the data.</summary>
    public required string DataHash { get; init; }

    public required int Samples { get; init; }

    /// <summary>Tokens per sample; 0 for other kinds of data.</summary>
    public required int Window { get; init; }

    public required double Seconds { get; init; }

    public required long PeakMemoryBytes { get; init; }

    public required IReadOnlyList<CalibratedValue> Values { get; init; }
}

/// <summary>One input of linear layers.</summary>
/// <param name="Name">Name of the value in the graph.</param>
/// <param name="Channels">Length of its vectors.</param>
/// <param name="Vectors">How many were seen.</param>
/// <param name="Minimum">Least value of all.</param>
/// <param name="Maximum">Greatest value of all.</param>
/// <param name="SecondMoments">Whether X^T X was collected.</param>
public sealed record CalibratedValue(string Name, int Channels, long Vectors, float Minimum, float Maximum, bool SecondMoments);
