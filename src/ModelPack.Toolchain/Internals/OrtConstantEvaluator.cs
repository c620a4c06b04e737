using Microsoft.ML.OnnxRuntime;
using ModelPack.Compiler;
using ModelPack.Containers.Onnx;
using ModelPack.Runtime;

namespace ModelPack.Toolchain;

/// <summary>Evaluates small constant subgraphs with ONNX Runtime, so that folding gives exactly what running would.</summary>
internal sealed class OrtConstantEvaluator : IConstantEvaluator
{
    public IReadOnlyList<Tensor>? Evaluate(Model model, IReadOnlyList<Node> nodes, IReadOnlyList<Tensor> constants, IReadOnlyList<string> outputs)
    {
        var graph = new Graph
        {
            Name = "constants",
            Nodes = [.. nodes],
            Initializers = [.. constants],
            Outputs = [.. outputs.Select(o => new ValueInfo(o, Compiler.ValueType.Unknown))],
        };
        Model piece = model with { Graph = graph, Metadata = [], Foreign = default };
        byte[] bytes = OnnxModelWriter.WriteWeightless(piece, _ => false, ArtifactContent.Dense);
        try
        {
            using var options = new SessionOptions
            {
                LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL,
                GraphOptimizationLevel = GraphOptimizationLevel.ORT_DISABLE_ALL,
                IntraOpNumThreads = 1,
            };
            using var session = new InferenceSession(bytes, options);
            using var run = new RunOptions();
            using IDisposableReadOnlyCollection<OrtValue> results = session.Run(run, new Dictionary<string, OrtValue>(), outputs);
            return results.All(IsFixedWidth) ? [.. results.Select((value, i) => ToTensor(outputs[i], value))] : null;
        }
        catch (OnnxRuntimeException)
        {
            // The runtime refuses (an operator it lacks, a type error in a dead branch): not folding is always right.
            return null;
        }
    }

    private static bool IsFixedWidth(OrtValue value) =>
        value.OnnxType == OnnxValueType.ONNX_TYPE_TENSOR && ElementTypes.ToDType(value.GetTensorTypeAndShape().ElementDataType).HasFixedWidth();

    private static Tensor ToTensor(string name, OrtValue value)
    {
        OrtTensorTypeAndShapeInfo info = value.GetTensorTypeAndShape();
        byte[] bytes = info.ElementCount == 0 ? [] : value.GetTensorMutableRawData().ToArray();
        return Tensor.Raw(name, ElementTypes.ToDType(info.ElementDataType), new Shape(info.Shape), TensorData.FromBytes(bytes));
    }
}
