namespace ModelPack.Toolchain;

/// <summary>The execution plan of an artifact.</summary>
public sealed record ExplainResult(string Target, IReadOnlyList<ExplainedNode> Nodes, IReadOnlyDictionary<string, int> Totals);

/// <summary>One planned node.</summary>
public sealed record ExplainedNode(string Name, string Op, string Kernel, string Tensor, IReadOnlyList<ExplainedAlternative> Alternatives)
{
    /// <summary>What is stored of the weight, if it is a sparse matrix; null otherwise.</summary>
    public InspectedSparsity? Sparsity { get; init; }
}

/// <summary>A kernel that was not chosen.</summary>
public sealed record ExplainedAlternative(string Kernel, string Reason);
