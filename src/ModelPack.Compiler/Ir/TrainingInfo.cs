namespace ModelPack.Compiler;

/// <summary>One entry of ONNX <c>training_info</c>.</summary>
/// <param name="Initialization">Graph that computes initial values, or null.</param>
/// <param name="Algorithm">Graph of one training step, or null.</param>
/// <param name="Foreign">Container fields not modelled (bindings).</param>
public sealed record TrainingInfo(Graph? Initialization, Graph? Algorithm, ForeignFields Foreign = default);
