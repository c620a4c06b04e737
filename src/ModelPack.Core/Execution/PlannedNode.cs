using System.Collections.Immutable;

namespace ModelPack;

/// <summary>What was chosen for one node with a compressed weight, and what was not.</summary>
/// <param name="Node">Node name in the graph (or its first output when unnamed).</param>
/// <param name="Op">Original operator type.</param>
/// <param name="Kernel">Chosen execution: an operator such as <c>ort:MatMulNBits(bits=4,block=32)</c>, or <c>expand</c>.</param>
/// <param name="Tensor">The weight concerned.</param>
/// <param name="Alternatives">The other candidates and, in one sentence each, why they lost.</param>
public sealed record PlannedNode(string Node, string Op, string Kernel, string Tensor, ImmutableArray<RejectedKernel> Alternatives);

/// <summary>A candidate that was not chosen.</summary>
public sealed record RejectedKernel(string Kernel, string Reason);
