using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>
/// What the outputs of a layer lack in the mean once its weight has changed, W mean(x) - W' mean(x), is added to them (Nagel et al., arXiv 1906.04721, there for quantised weights):
/// <code>
/// y = MatMul(x, w)   ->   u = MatMul(x, w');  y = Add(u, bias)
/// </code>
/// </summary>
internal static class BiasCorrection
{
    /// <summary>What is missing, [N].</summary>
    /// <param name="before">W [N, K].</param>
    /// <param name="after">W'.</param>
    /// <param name="statistics">Of x.</param>
    /// <param name="context">Reads.</param>
    public static float[] Of(WeightEncoding before, WeightEncoding after, ActivationStatistics statistics, PassContext context)
    {
        (int rows, int columns) = (checked((int)before.Shape[0]), checked((int)(before.Shape.ElementCount / before.Shape[0])));
        IValueReader old = context.OpenValues(before);
        IValueReader changed = context.OpenValues(after);
        float[] row = new float[columns];
        float[] other = new float[columns];
        float[] missing = new float[rows];
        for (int n = 0; n < rows; n++)
        {
            old.ReadRows(n, 1, row);
            changed.ReadRows(n, 1, other);
            double sum = 0;
            for (int k = 0; k < columns; k++)
            {
                sum += ((double)row[k] - other[k]) * statistics.Sums[k];
            }

            missing[n] = (float)(sum / statistics.Rows);
        }

        return missing;
    }

    /// <summary>Adds it after every node that multiplies with one of the weights; where a type is not known to be f32, nothing.</summary>
    public static Model Apply(Model model, IReadOnlyDictionary<string, float[]> corrections, PassContext context)
    {
        var index = new GraphIndex(model.Graph);
        var editor = new GraphEditor(model.Graph);
        foreach (Tensor tensor in model.Graph.Initializers.Where(t => corrections.ContainsKey(t.Name)))
        {
            foreach (Node node in Readers(index, tensor.Name, tensor.DType))
            {
                Shape shape = node.Is("Conv") ? new Shape([corrections[tensor.Name].Length, .. Enumerable.Repeat(1L, tensor.Shape.Rank - 2)]) : new Shape(corrections[tensor.Name].Length);
                string bias = editor.UniqueName($"{tensor.Name}_correction");
                string plain = editor.UniqueName($"{node.Outputs[0]}_plain");
                editor.AddInitializer(Tensor.Raw(bias, DType.F32, shape, TensorData.FromBytes(MemoryMarshal.AsBytes(corrections[tensor.Name].AsSpan()).ToArray())));
                editor.ReplaceNode(index.ProducerIndex(node.Outputs[0]), node with { Outputs = [plain] }, new Node { OpType = "Add", Inputs = [plain, bias], Outputs = node.Outputs });
                context.Measure("bias_corrected", 1, tensor.Name);
            }
        }

        return editor.HasEdits ? model with { Graph = editor.Build() } : model;
    }

    /// <summary>Nodes of the main graph that multiply in f32 with a weight, as it is, turned or converted.</summary>
    private static IEnumerable<Node> Readers(GraphIndex index, string value, DType dtype)
    {
        foreach (ValueUse use in index.Uses(value).Where(u => ReferenceEquals(u.Owner, index.Graph)))
        {
            if (use.Node.Is("Transpose") || use.Node.Is("Identity") || use.Node.Is("Cast"))
            {
                DType type = use.Node.Is("Cast") ? OnnxTypes.FromNumber(use.Node.Int("to", 0)) : dtype;
                foreach (Node node in Readers(index, use.Node.Outputs[0], type))
                {
                    yield return node;
                }
            }
            else if (use.InputIndex == 1 && dtype == DType.F32 && (use.Node.Is("MatMul") || use.Node.Is("Gemm") || use.Node.Is("Conv")))
            {
                yield return use.Node;
            }
        }
    }
}
