using System.Collections.Immutable;

namespace ModelPack.Compiler;

/// <summary>A graph or subgraph: nodes in topological order, with the constants it declares. Immutable; edit with the graph editor.</summary>
public sealed record Graph
{
    public string Name { get; init; } = "";

    public ImmutableArray<ValueInfo> Inputs { get; init; } = [];

    public ImmutableArray<ValueInfo> Outputs { get; init; } = [];

    public ImmutableArray<Node> Nodes { get; init; } = [];

    public ImmutableArray<Tensor> Initializers { get; init; } = [];

    public ImmutableArray<SparseTensor> SparseInitializers { get; init; } = [];

    /// <summary>Inputs without an initializer for a default: those a caller must give.</summary>
    public ImmutableArray<ValueInfo> FreeInputs()
    {
        var defaults = Initializers.Select(t => t.Name).ToHashSet(StringComparer.Ordinal);
        return [.. Inputs.Where(i => !defaults.Contains(i.Name))];
    }

    /// <summary>Types of intermediate values, where the file gives them.</summary>
    public ImmutableArray<ValueInfo> ValueInfos { get; init; } = [];

    /// <summary>Container fields not modelled (doc string, quantization annotations, metadata properties).</summary>
    public ForeignFields Foreign { get; init; }
}

/// <summary>A sparse initializer: non-zero values with their indices, kept as it came.</summary>
/// <param name="Values">1-D values; its name is the initializer's name.</param>
/// <param name="Indices">Linear [nnz] or coordinate [nnz, rank] I64 indices.</param>
/// <param name="Shape">Dense shape.</param>
/// <param name="Foreign">Container fields not modelled.</param>
public sealed record SparseTensor(Tensor Values, Tensor Indices, Shape Shape, ForeignFields Foreign = default);
