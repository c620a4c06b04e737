using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Replaces nodes of the main graph whose inputs are constants:
/// <code>
/// w (bf16) -> Cast to f32 -> Transpose(1, 0) -> x   =>  initializer w, f32, stored as permuted(perm=1x0) > bf16; x's readers read w
/// Shape(w)                                          =>  initializer
/// small standard operators on small constants       =>  initializer, computed by the context's evaluator
/// </code>
/// Casts that widen exactly, transposes and reshapes read no data: they become part of the encoding. Where the original has other
/// readers this would store it twice, so it is done for small tensors only. DequantizeLinear is never folded: that would undo compression.
/// </summary>
internal sealed class FoldConstantsPass(long maxOutputBytes, long maxGrowthBytes) : IPass
{
    public string Name => "fold-constants";

    public Phase Requires => Phase.Canonical;

    public Phase Ensures => Phase.Canonical;

    public Model Run(Model model, PassContext context)
    {
        if (model.Kind != ModelKind.Onnx)
        {
            return model;
        }

        var evaluation = new SmallEvaluation(model, context, maxOutputBytes, maxGrowthBytes);
        Graph graph = model.Graph;
        while (true)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            Graph next = LazyFolding.Round(graph);
            next = ReferenceEquals(next, graph) ? evaluation.Round(graph) : next;
            if (ReferenceEquals(next, graph))
            {
                break;
            }

            graph = DeadCode.Remove(next);
        }

        context.Measure("nodes_folded", model.Graph.Nodes.Length - graph.Nodes.Length);
        return ReferenceEquals(graph, model.Graph) ? model : model with { Graph = graph };
    }
}
