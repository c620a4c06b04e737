using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>A place where a node reads a constant, an axis of which lies along channels that are rotated.</summary>
/// <param name="Node">Position of the node.</param>
/// <param name="Input">Which of its inputs.</param>
/// <param name="Tensor">The constant.</param>
/// <param name="Axis">The axis: the last one, or the first of a matrix.</param>
/// <param name="Gain">A constant with a factor for every channel that stands between the rotated value and this reader; null for none.</param>
internal readonly record struct WeightUse(int Node, int Input, Tensor Tensor, int Axis, Tensor? Gain = null);
