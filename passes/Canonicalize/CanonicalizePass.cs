using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Brings a graph into the form other passes expect. After it: nodes are in topological order; no Constant node with a dense value
/// is left in the main graph; large constants of branches and loop bodies are main-graph initializers; no Identity, inference
/// Dropout, Cast to the same type or identity Transpose is left except where one is needed to name an output; nothing dead is left.
/// </summary>
/// <remarks>
/// IR versions before 4 list every initializer as an input. Runtimes treat those initializers as constants; the pass makes that
/// explicit: the inputs go, the IR version becomes 4. From version 4 on an initializer that is also an input is a default that
/// the caller may override: it is never touched. Training graphs are dropped with a warning. Checkpoints have no graph and pass through.
/// </remarks>
/// <param name="liftMinBytes">Size from which constants of subgraphs are lifted.</param>
internal sealed class CanonicalizePass(long liftMinBytes) : IPass
{
    public string Name => "canonicalize";

    public Phase Requires => Phase.Imported;

    public Phase Ensures => Phase.Canonical;

    public Model Run(Model model, PassContext context)
    {
        if (model.Kind != ModelKind.Onnx)
        {
            return model;
        }

        Model result = UpgradeInitializerInputs(model);
        if (!result.Training.IsEmpty)
        {
            context.Report(DiagnosticSeverity.Warning, "training graphs are dropped: they refer to the weights by name and change them");
            result = result with { Training = [] };
        }

        var names = GraphNames.All(result.Graph);
        Graph graph = SubgraphSorter.Sort(result.Graph);
        graph = new ConstantLifter(liftMinBytes, names).Run(graph, out int lifted);
        graph = new Simplifier(result.Opsets.GetValueOrDefault(""), names, context.Cancellation).Run(graph);
        context.Measure("nodes_removed", model.Graph.Nodes.Length - graph.Nodes.Length);
        context.Measure("constants_lifted", lifted);
        return ReferenceEquals(graph, model.Graph) ? result : result with { Graph = graph };
    }

    private static Model UpgradeInitializerInputs(Model model)
    {
        if (model.IrVersion is < 1 or >= 4)
        {
            return model;
        }

        var initializers = model.Graph.Initializers.Select(t => t.Name).Concat(model.Graph.SparseInitializers.Select(t => t.Values.Name)).ToHashSet(StringComparer.Ordinal);
        var editor = new GraphEditor(model.Graph);
        foreach (string name in model.Graph.Inputs.Select(v => v.Name).Where(initializers.Contains))
        {
            editor.RemoveInput(name);
        }

        return model with { Graph = editor.Build(), IrVersion = 4 };
    }
}
