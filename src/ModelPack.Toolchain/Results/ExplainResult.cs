namespace ModelPack.Toolchain;

/// <summary>The execution plan of an artifact.</summary>
public sealed record ExplainResult(string Target, IReadOnlyList<ExplainedNode> Nodes, IReadOnlyDictionary<string, int> Totals)
{
    /// <summary>What a run is expected to cost; null without a hardware profile.</summary>
    public PredictedRun? Predicted { get; init; }

    /// <summary>What a run is expected to take of memory; null for artifacts that do not run.</summary>
    public PredictedMemory? Memory { get; init; }
}

/// <summary>One planned node.</summary>
public sealed record ExplainedNode(string Name, string Op, string Kernel, string Tensor, IReadOnlyList<ExplainedAlternative> Alternatives)
{
    /// <summary>What is stored of the weight, if it is a sparse matrix; null otherwise.</summary>
    public InspectedSparsity? Sparsity { get; init; }

    /// <summary>Expected time; null where sizes are not known and without a hardware profile.</summary>
    public double? PredictedSeconds { get; init; }

    /// <summary>What it waits for: <c>memory</c>, <c>compute</c> or <c>launch</c>.</summary>
    public string? Bound { get; init; }

    /// <summary>Bytes that it reads: of the weight, of convolutions all that is read and written.</summary>
    public long? PredictedBytes { get; init; }

    /// <summary>Operations, two per multiplication.</summary>
    public double? PredictedFlops { get; init; }

    /// <summary>Of products, with the profile of a GPU or accelerator: the runtime and family of kernels that execute the weight there after an export, or why none does; null otherwise.</summary>
    public ExplainedAlternative? Accelerator { get; init; }
}

/// <summary>A kernel that was not chosen.</summary>
public sealed record ExplainedAlternative(string Kernel, string Reason);

/// <summary>What one run of the model is expected to cost on a machine.</summary>
public sealed record PredictedRun
{
    /// <summary>The hardware profile.</summary>
    public required string Profile { get; init; }

    /// <summary>Rows of activations: tokens that are read at once.</summary>
    public required long Rows { get; init; }

    /// <summary>1, or all cores of the profile.</summary>
    public required int Threads { get; init; }

    /// <summary>Opening the model, in a process that opened one before; null where the profile does not tell.</summary>
    public required double? LoadSeconds { get; init; }

    /// <summary>All nodes.</summary>
    public required double Seconds { get; init; }

    /// <summary>Products with compressed weights.</summary>
    public required double ProductSeconds { get; init; }

    /// <summary>Nodes that are no product with a weight.</summary>
    public required int OtherNodes { get; init; }

    /// <summary>Their time by the shapes of what they read and write; where sizes are not known, only of starting them.</summary>
    public required double OtherSeconds { get; init; }

    /// <summary>Bytes of weights that are read.</summary>
    public required long WeightBytes { get; init; }

    /// <summary>Operations of the products and other nodes.</summary>
    public required double Flops { get; init; }

    /// <summary>Share of the products' time in kernels that the profile measured; for the others bandwidth and peak arithmetic of the profile were used.</summary>
    public required double MeasuredShare { get; init; }

    /// <summary>An estimate: 30 % of the profile's watts, 40 % more by how much of the arithmetic and 20 % more by how much of the bandwidth is used, times the time; null where it has no watts.</summary>
    public required double? EstimatedJoules { get; init; }
}
