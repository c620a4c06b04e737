namespace ModelPack.Toolchain;

/// <summary>Two files, tensor by tensor.</summary>
public sealed record CompareResult
{
    public required string A { get; init; }

    public required string B { get; init; }

    public required IReadOnlyList<ComparedTensor> Tensors { get; init; }

    /// <summary>Tensors of A that B lacks.</summary>
    public required IReadOnlyList<string> Missing { get; init; }

    /// <summary>Tensors of B that A lacks.</summary>
    public required IReadOnlyList<string> Extra { get; init; }
}

/// <summary>How one tensor differs. Errors are null when shapes differ or the type has no arithmetic; then <see cref="Note"/> says so.</summary>
public sealed record ComparedTensor
{
    public required string Name { get; init; }

    public double? MaxAbsError { get; init; }

    /// <summary>||A - B|| / ||A||.</summary>
    public double? RelativeError { get; init; }

    /// <summary>10 log10(||A||^2 / ||A - B||^2); null when identical.</summary>
    public double? SqnrDb { get; init; }

    /// <summary>True when the dense bytes are equal.</summary>
    public required bool Identical { get; init; }

    public string? Note { get; init; }
}
