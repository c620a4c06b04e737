using System.Runtime.InteropServices;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Folds a BatchNormalization into the convolution before it:
/// <code>
/// Conv(x, w, b) -> c -> BatchNormalization(c, gamma, beta, mean, variance) -> y
/// =>  Conv(x, w * s, (b - mean) * s + beta) -> y     with s = gamma / sqrt(variance + epsilon) per output channel
/// </code>
/// s is computed in f64, each product rounded once to f32. The new weight is computed when it is read. Done only where the convolution's
/// result has no other reader, the weight no other reader, and all parameters are f32 constants of the main graph.
/// </summary>
internal sealed class FuseBatchNormPass : IPass
{
    public string Name => "fuse-batchnorm";

    public Phase Requires => Phase.Canonical;

    public Phase Ensures => Phase.Canonical;

    public Model Run(Model model, PassContext context)
    {
        if (model.Kind != ModelKind.Onnx)
        {
            return model;
        }

        var index = new GraphIndex(model.Graph);
        var editor = new GraphEditor(model.Graph);
        long opset = model.Opsets.GetValueOrDefault("");
        int fused = 0;
        for (int i = 0; i < model.Graph.Nodes.Length; i++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            if (model.Graph.Nodes[i].Is("BatchNormalization") && Match(index, i, opset) is Fusion fusion && Apply(index, editor, fusion))
            {
                fused++;
            }
        }

        context.Measure("batchnorms_fused", fused);
        return fused == 0 ? model : model with { Graph = DeadCode.Remove(editor.Build()) };
    }

    private static Fusion? Match(GraphIndex index, int position, long opset)
    {
        Node norm = index.Graph.Nodes[position];
        bool inference = norm.Int("training_mode", 0) == 0 && (opset >= 7 || norm.Int("is_test", 0) != 0) && norm.Int("spatial", 1) == 1
            && norm.Outputs.Skip(1).All(o => o.Length == 0 || index.IsUnused(o));
        string value = norm.Input(0);
        int convPosition = index.ProducerIndex(value);
        if (!inference || convPosition < 0 || index.IsOutput(value) || index.Uses(value).Count != 1)
        {
            return null;
        }

        Node conv = index.Graph.Nodes[convPosition];
        bool transposed = conv.Is("ConvTranspose");
        if (!(conv.Is("Conv") || transposed) || index.Constant(conv.Input(1)) is not { Shape.Rank: >= 3, DType: DType.F32 } weight
            || index.Uses(weight.Name).Count != 1 || index.IsOutput(weight.Name) || !weight.TryGetRawData(out TensorData data))
        {
            return null;
        }

        long groups = conv.Int("group", 1);
        if (groups < 1 || weight.Shape.ElementCount == 0 || (transposed && weight.Shape[0] % groups != 0))
        {
            return null;
        }

        long channels = transposed ? weight.Shape[1] * groups : weight.Shape[0];
        float[]? Read(string name) => Floats(index.Constant(name), channels);
        float[]? bias = conv.Input(2).Length == 0 ? new float[channels] : Read(conv.Input(2));
        return bias is not null && Read(norm.Input(1)) is float[] gamma && Read(norm.Input(2)) is float[] beta
            && Read(norm.Input(3)) is float[] mean && Read(norm.Input(4)) is float[] variance
            ? new Fusion(position, convPosition, weight, data, groups, transposed, bias, gamma, beta, mean, variance)
            : null;
    }

    private static bool Apply(GraphIndex index, GraphEditor editor, Fusion f)
    {
        Node norm = index.Graph.Nodes[f.NormPosition];
        Node conv = index.Graph.Nodes[f.ConvPosition];
        double epsilon = norm.Float("epsilon", 1e-5f);
        double[] scales = new double[f.Gamma.Length];
        float[] bias = new float[f.Gamma.Length];
        for (int c = 0; c < scales.Length; c++)
        {
            scales[c] = f.Gamma[c] / Math.Sqrt(f.Variance[c] + epsilon);
            bias[c] = (float)((((double)f.Bias[c] - f.Mean[c]) * scales[c]) + f.Beta[c]);
            if (!double.IsFinite(scales[c]) || !float.IsFinite(bias[c]))
            {
                return false;
            }
        }

        // Runs of equal channel: [O, I/g, k...] has O of them; [I, O/g, k...] has I * O/g, in which the channel repeats per input.
        Shape shape = f.Weight.Shape;
        long run = f.Transposed ? shape.ElementCount / shape[0] / shape[1] : shape.ElementCount / shape[0];
        long inner = f.Transposed ? shape[1] : shape[0];
        long outer = f.Transposed ? shape[0] / f.Groups : 1;
        TensorData scaled = new ScaledTensorData(f.Data, scales, run, inner, outer);
        editor.ReplaceInitializer(f.Weight.Name, Tensor.Raw(f.Weight.Name, DType.F32, shape, scaled) with { Foreign = f.Weight.Foreign });
        string biasName = editor.UniqueName($"{f.Weight.Name}_fused_bias");
        editor.AddInitializer(SmallConstants.Floats(biasName, new Shape(bias.Length), bias));
        editor.RemoveNode(f.NormPosition);
        editor.ReplaceNode(f.ConvPosition, conv with { Inputs = [conv.Inputs[0], conv.Inputs[1], biasName], Outputs = [norm.Outputs[0]] });
        return true;
    }

    private static float[]? Floats(Tensor? tensor, long channels) =>
        tensor is { DType: DType.F32 } && tensor.Shape == new Shape(channels) && tensor.TryGetRawData(out TensorData data)
            ? MemoryMarshal.Cast<byte, float>(data.ToArray()).ToArray()
            : null;

    private sealed record Fusion(
        int NormPosition,
        int ConvPosition,
        Tensor Weight,
        TensorData Data,
        long Groups,
        bool Transposed,
        float[] Bias,
        float[] Gamma,
        float[] Beta,
        float[] Mean,
        float[] Variance);
}
