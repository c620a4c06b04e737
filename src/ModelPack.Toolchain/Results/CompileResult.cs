namespace ModelPack.Toolchain;

/// <summary>What a compilation produced. Sizes in bytes, times in seconds.</summary>
public sealed record CompileResult
{
    public required string Input { get; init; }

    public required string Output { get; init; }

    /// <summary>Files that the model was read from, external data among them, sorted.</summary>
    public required IReadOnlyList<string> InputFiles { get; init; }

    /// <summary>The recipe's name.</summary>
    public required string Recipe { get; init; }

    /// <summary>Why this recipe; null when the user named it.</summary>
    public string? RecipeReason { get; init; }

    /// <summary>Bytes of all input files, external data counted by the ranges that are used.</summary>
    public required long InputBytes { get; init; }

    /// <summary>Bytes of the artifact; an estimate before lossless coding for a dry run.</summary>
    public required long OutputBytes { get; init; }

    /// <summary>Input bytes / output bytes.</summary>
    public double Ratio => OutputBytes == 0 ? 0 : (double)InputBytes / OutputBytes;

    /// <summary>Time of the compilation itself, without evaluation; an estimate for a dry run.</summary>
    public required double Seconds { get; init; }

    /// <summary>Peak resident memory of the process; an estimate for a dry run.</summary>
    public required long PeakMemoryBytes { get; init; }

    /// <summary>Tensors and blobs that an interrupted compilation had written.</summary>
    public int ResumedTensors { get; init; }

    public required bool DryRun { get; init; }

    public required IReadOnlyList<CompiledTensor> Tensors { get; init; }

    public required IReadOnlyList<string> Warnings { get; init; }

    /// <summary>What passes say about tensors besides: why they left one as it is, what they chose and measured.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>What measuring kernels found; null where it was not asked for.</summary>
    public KernelTuning? Tuning { get; init; }

    /// <summary>Perplexity of the input, when evaluation tokens were given.</summary>
    public double? PerplexityBefore { get; init; }

    /// <summary>Perplexity of the artifact, when evaluation tokens were given.</summary>
    public double? PerplexityAfter { get; init; }

    /// <summary>Time of both evaluations together.</summary>
    public double? EvaluationSeconds { get; init; }
}

/// <summary>One tensor of the artifact.</summary>
public sealed record CompiledTensor
{
    public required string Name { get; init; }

    public required IReadOnlyList<long> Shape { get; init; }

    /// <summary>What the tensor is for: <c>attention</c>, <c>mlp</c>, <c>embedding</c>, <c>head</c>, <c>norm</c>, <c>conv</c>, <c>matmul</c>, <c>other</c>.</summary>
    public required string Kind { get; init; }

    /// <summary>The encoding tree in one line.</summary>
    public required string Encoding { get; init; }

    public required long InputBytes { get; init; }

    public required long OutputBytes { get; init; }

    /// <summary>||W - W'|| / ||W|| (Frobenius); 0 when stored losslessly, null when not measured (dry run).</summary>
    public double? RelativeError { get; init; }
}

/// <summary>Products of a model that were measured to choose kernels.</summary>
/// <param name="Measured">Products measured now.</param>
/// <param name="Known">Products measured earlier.</param>
/// <param name="Unmeasured">Products that there was no time for.</param>
/// <param name="Choices">Choices made by time.</param>
/// <param name="Changed">Choices of another kernel than without measurements.</param>
/// <param name="Seconds">Time spent on measuring.</param>
public sealed record KernelTuning(int Measured, int Known, int Unmeasured, int Choices, int Changed, double Seconds);
