namespace ModelPack.Compiler.Planning;

/// <summary>What the planner made.</summary>
/// <param name="ExecutionModel">
/// The model for ONNX Runtime. Initializers named in <see cref="ExecutionPlan.Bindings"/> are external; all others stay inside the graph. Streams of
/// weights that are still to be encoded have the right type and shape and no readable bytes.
/// </param>
/// <param name="Plan">Where the external initializers come from, and what was chosen for which node.</param>
public sealed record PlannedModel(Model ExecutionModel, ExecutionPlan Plan);
