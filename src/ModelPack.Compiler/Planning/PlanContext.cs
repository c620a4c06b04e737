namespace ModelPack.Compiler.Planning;

/// <summary>What choosing a kernel may look at.</summary>
/// <param name="Model">The model.</param>
/// <param name="Index">Producers and users in its graph.</param>
/// <param name="Options">What to plan for.</param>
/// <param name="Streams">Makes initializers from streams.</param>
/// <param name="Names">All value names in use.</param>
internal sealed record PlanContext(Model Model, GraphIndex Index, PlanOptions Options, StreamTensors Streams, HashSet<string> Names)
{
    /// <summary>Version of the standard operator set.</summary>
    public long Opset => Model.Opsets.GetValueOrDefault("", 1);

    /// <summary>Bytes of all weights about as kernels read them: what competes for the caches. 0 when no profile is given.</summary>
    public long WeightBytes { get; init; }

    /// <summary>Small constants that chosen operators need, to stay inside the execution graph.</summary>
    public List<Tensor> Constants { get; } = [];

    /// <summary>Constants of the model in whose place chosen operators read others.</summary>
    public HashSet<string> Lowered { get; } = new(StringComparer.Ordinal);

    /// <summary>Initializers that hold block-sparse weights in execution layout.</summary>
    public HashSet<string> SparseTiles { get; } = new(StringComparer.Ordinal);
}
