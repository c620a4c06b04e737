namespace ModelPack.Toolchain;

/// <summary>What to search and how.</summary>
public sealed record TuneRequest
{
    /// <summary>An .onnx file.</summary>
    public required string Input { get; init; }

    /// <summary>The recipe file to write.</summary>
    public required string Output { get; init; }

    /// <summary>What must be reached.</summary>
    public required TuneTarget Target { get; init; }

    /// <summary>A token file or a folder of .npy inputs, on which losses are measured; null: weights alone decide.</summary>
    public string? Data { get; init; }

    /// <summary>Tokens per sample, and where measurements are kept.</summary>
    public CalibrationOptions Options { get; init; } = new();

    /// <summary>Samples on which losses are measured, spread over the data.</summary>
    public int Samples { get; init; } = 16;

    /// <summary>Number formats to choose from; empty: <see cref="Tuner.DefaultCandidates"/>.</summary>
    public IReadOnlyList<string> Candidates { get; init; } = [];

    /// <summary>Whether factors and sparse weights (<see cref="Tuner.JointCandidates"/>) are choices as well.</summary>
    public bool Joint { get; init; }

    /// <summary>Overrides of the form <c>pass.option=value</c>.</summary>
    public IReadOnlyList<string> Sets { get; init; } = [];

    /// <summary>Memory for buffers, in bytes.</summary>
    public long MaxMemoryBytes { get; init; } = 2L << 30;

    /// <summary>Worker threads; 0 means one per processor. Never changes the choice.</summary>
    public int Threads { get; init; }
}
