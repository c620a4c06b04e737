using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Kernels.MatMul;

namespace ModelPack.Compiler.Planning;

/// <summary>
/// Gated perceptrons whose small activations are set to 0 (pass <c>activation-sparsity</c>), as <c>ai.modelpack::ContextualMlp</c>, which reads of U and D only what belongs to the others:
/// <code>
/// a = f(g)   s = Shrink(a)   h = Mul(s, x U)   y = h D    ->    y = ContextualMlp(x, g, U, D)
/// </code>
/// Both weights lie neuron by neuron, in f32 or bf16; g is made by whatever kernel is best for it.
/// </summary>
/// <remarks>
/// Where: times as fast as the same perceptron planned without, half of the neurons left out, by <c>tests/ModelPack.Benchmarks -- --contextual</c>, both taking turns; AMD EPYC (family 26 model 2) with AVX-512, nothing else
/// running, 2026-11-29. Many rows need most neurons for one row or another, and products of many rows wait for arithmetic, in which the dense kernels are better.
/// <code>
/// width, neurons                 one thread, 1 row    2      4      128       two threads, 1 row    2      4      128
/// 256, 768       f32, bf16       0.92                               0.35      1.19                                0.30
/// 1024, 2816     bf16            1.02 to 1.31         1.19   1.01   0.47      1.34 to 1.82          1.26   0.93   0.36
/// 2048, 5632     bf16            1.55                                         1.28
/// 2048, 5632     f32             1.35                                         1.33
/// </code>
/// </remarks>
internal static class ContextualMlp
{
    /// <summary>The kernel as plans record it.</summary>
    public const string Name = "modelpack:ContextualMlp";

    /// <summary>Neurons times columns of U and D below which nothing was gained.</summary>
    private const long LeastWeights = 1 << 22;

    /// <summary>Rows of activations beyond which nothing was.</summary>
    private const int MostRows = 2;

    /// <summary>What takes the place of nodes: a node, or null for one that is gone.</summary>
    /// <param name="weights">What is planned, by name.</param>
    /// <param name="context">The plan.</param>
    /// <param name="planned">Gets the weights of those that are taken.</param>
    /// <param name="declined">Gets, by weight, why others are not.</param>
    public static Dictionary<int, Node?> Take(
        Dictionary<string, Tensor> weights, PlanContext context, ImmutableArray<PlannedNode>.Builder planned, Dictionary<string, RejectedKernel> declined)
    {
        var replaced = new Dictionary<int, Node?>();
        foreach (GatedPerceptron found in GatedPerceptron.Find(context.Index).Where(f => f.Threshold > 0))
        {
            Node up = context.Model.Graph.Nodes[found.UpProduct];
            Node down = context.Model.Graph.Nodes[found.DownProduct];
            Tensor u = context.Index.Initializer(up.Input(1))!;
            Tensor d = context.Index.Initializer(down.Input(1))!;
            string kernel = string.Create(CultureInfo.InvariantCulture, $"{Name}({found.Activation},{found.Threshold:R})");
            if (WhyNot(u, d, context) is string reason)
            {
                declined[u.Name] = declined[d.Name] = new RejectedKernel(kernel, reason);
                continue;
            }

            NeuronMatrix rowsOfUp = Rows(u, transposed: true)!.Value;
            NeuronMatrix rowsOfDown = Rows(d, transposed: false)!.Value;
            foreach (int gone in (ImmutableArray<int>)[.. found.Between, found.UpProduct, found.Product])
            {
                replaced[gone] = null;
            }

            replaced[found.DownProduct] = new Node
            {
                Name = down.Name,
                OpType = "ContextualMlp",
                Domain = PackedMatMul.Domain,
                Inputs = [found.Input, found.Gate, context.Streams.GetNeuronRows(u, rowsOfUp.Bytes), context.Streams.GetNeuronRows(d, rowsOfDown.Bytes)],
                Outputs = down.Outputs,
                Attributes =
                [
                    new NodeAttribute("N", new AttributeValue.Int(rowsOfDown.Columns)),
                    new NodeAttribute("activation", new AttributeValue.Text(found.Activation)),
                    new NodeAttribute("threshold", new AttributeValue.Text(found.Threshold.ToString("R", CultureInfo.InvariantCulture))),
                ],
            };
            foreach ((Node node, Tensor tensor) in new[] { (up, u), (down, d) })
            {
                planned.Add(new PlannedNode(node.Handle, node.OpType, kernel, tensor.Name, [new RejectedKernel(NodeChoice.Expand, "reads all rows of the matrix: the whole perceptron takes 1.02 to 1.8 times as long at one row where half of its activations are zero; from 4 rows on dense kernels are up to three times as fast")]));
                if (!weights.ContainsKey(tensor.Name))
                {
                    context.Lowered.Add(tensor.Name);
                }
            }
        }

        return replaced;
    }

    private static string? WhyNot(Tensor u, Tensor d, PlanContext context)
    {
        if (context.Options.StockOperators)
        {
            return "operators of ONNX Runtime only were asked for";
        }

        if (context.Options.Accuracy == PlanAccuracy.Identical)
        {
            return "adds in another order than dense weights are multiplied in: plan with accuracy 'exact' to use it";
        }

        if (!context.Options.IsExternal(u) || !context.Options.IsExternal(d) || Rows(u, transposed: true) is not NeuronMatrix up || Rows(d, transposed: false) is not NeuronMatrix down)
        {
            return "reads weights in f32 or bf16 that are stored neuron by neuron";
        }

        if (context.Options.Rows > MostRows)
        {
            return string.Create(CultureInfo.InvariantCulture, $"planned for {context.Options.Rows} rows: 0.3 to 1.0 times as fast as dense kernels from 4 rows on where it was measured");
        }

        long weights = up.Rows * ((long)up.Columns + down.Columns);
        return weights < LeastWeights ? string.Create(CultureInfo.InvariantCulture, $"0.9 times as fast as dense kernels on one thread where so few weights ({weights}) were measured") : null;
    }

    /// <summary>The stored matrix of a weight [inputs, outputs] where it has a row for every neuron: outputs, so that the tensor is its transpose, or inputs; null where no kernel reads it.</summary>
    private static NeuronMatrix? Rows(Tensor tensor, bool transposed) => tensor.Encoding switch
    {
        StructuredEncoding { Components: [DenseEncoding { Shape.Rank: 2, IsPending: false } inner] } s when transposed && s.Structure.Id == "permuted" => NeuronMatrix.TryCreate(inner.Format, inner.Shape[0], inner.Shape[1]),
        DenseEncoding { Shape.Rank: 2, IsPending: false } dense when !transposed => NeuronMatrix.TryCreate(dense.Format, dense.Shape[0], dense.Shape[1]),
        _ => null,
    };
}
