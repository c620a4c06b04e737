using System.Collections.Immutable;

namespace ModelPack.Compiler;

/// <summary>What a checkpoint looked like before it was given a graph: enough to write it as a checkpoint again.</summary>
/// <param name="Architecture">The class of its architecture, as config.json names it.</param>
/// <param name="Tensors">All its tensors, in file order.</param>
/// <param name="Cache">How the graph takes and gives keys and values of earlier tokens, by the name of its form; null when it does not.</param>
public sealed record CheckpointForm(string Architecture, ImmutableArray<CheckpointTensor> Tensors, string? Cache = null);

/// <summary>A tensor of a checkpoint, without its values.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DType">Its element type.</param>
/// <param name="Shape">Its shape; linear weights are [out, in].</param>
public sealed record CheckpointTensor(string Name, DType DType, Shape Shape);
