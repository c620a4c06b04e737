using System.Collections.Immutable;

namespace ModelPack;

/// <summary>
/// How the artifact is to be run: the choices per node and, for the execution graph stored beside it, where every initializer comes from.
/// </summary>
/// <param name="Target">Hardware profile the plan was made for; <c>generic</c> when none was given.</param>
/// <param name="Bindings">One entry per initializer of the execution graph that is not stored inside the graph itself, in graph order.</param>
/// <param name="Nodes">Choices for nodes with compressed weights.</param>
public sealed record ExecutionPlan(string Target, ImmutableArray<InitializerBinding> Bindings, ImmutableArray<PlannedNode> Nodes);
