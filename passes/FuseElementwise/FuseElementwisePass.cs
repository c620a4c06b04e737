using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Takes element-wise operators out of convolutional networks, which otherwise read and write every activation once more each:
/// <code>
/// Mul(x, 1)                                         =>  x
/// Conv(x, w, b) -> Mul m -> Add a (Sub, Div alike)  =>  Conv(x, w * m, b * m + a)      m, a: one number, or one per channel
/// x * Clip(x + a, 0, c) / c                         =>  x * HardSigmoid(x; alpha = 1/c, beta = a/c)
/// </code>
/// New weights are computed in f64 and rounded once to f32, when they are read. Results change by rounding only. Done only on f32, where the values in between have no other reader.
/// </summary>
internal sealed class FuseElementwisePass : IPass
{
    public string Name => "fuse-elementwise";

    public Phase Requires => Phase.Canonical;

    public Phase Ensures => Phase.Canonical;

    public Model Run(Model model, PassContext context)
    {
        if (model.Kind != ModelKind.Onnx)
        {
            return model;
        }

        Graph graph = Ones.Remove(model.Graph);
        graph = ConvChains.Fold(graph, context.Cancellation);
        graph = HardSwish.Rewrite(graph, model.Opsets.GetValueOrDefault(""));
        context.Measure("nodes_removed", model.Graph.Nodes.Length - graph.Nodes.Length);
        return ReferenceEquals(graph, model.Graph) ? model : model with { Graph = graph };
    }

    /// <summary>Products with a scalar constant of exactly 1.</summary>
    private static class Ones
    {
        public static Graph Remove(Graph graph)
        {
            var index = new GraphIndex(graph);
            var editor = new GraphEditor(graph);
            for (int i = 0; i < graph.Nodes.Length; i++)
            {
                Node node = graph.Nodes[i];
                if (!node.Is("Mul") || index.IsOutput(node.Outputs[0]))
                {
                    continue;
                }

                // A scalar of rank 0 never changes the shape of the other factor.
                int one = Enumerable.Range(0, 2).FirstOrDefault(k => index.Constant(node.Inputs[k]) is { DType: DType.F32, Shape.Rank: 0 } t && FloatConstant.Read(t) is [1f], -1);
                if (one >= 0 && index.Constant(node.Inputs[1 - one]) is null)
                {
                    editor.RemoveNode(i);
                    editor.RedirectUses(node.Outputs[0], node.Inputs[1 - one]);
                }
            }

            return editor.HasEdits ? DeadCode.Remove(editor.Build()) : graph;
        }
    }
}
