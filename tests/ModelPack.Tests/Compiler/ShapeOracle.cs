using Microsoft.ML.OnnxRuntime;
using ModelPack.Compiler;
using ModelPack.Compiler.Shapes;
using ModelPack.Containers.Onnx;
using ModelPack.Pack;
using Assert = Xunit.Assert;
using ValueType = ModelPack.Compiler.ValueType;

namespace ModelPack.Tests.Compiler;

/// <summary>Runs a graph in ONNX Runtime with every value as an output, and compares the shapes that come out with the inferred ones.</summary>
internal static class ShapeOracle
{
    /// <summary>Checks every value of the main graph. All inputs are zero but those given.</summary>
    /// <param name="model">The model.</param>
    /// <param name="sizes">Sizes of free dimensions.</param>
    /// <param name="unknown">Values whose shape need not be inferred.</param>
    /// <param name="integers">What all elements of an integer input are.</param>
    public static GraphShapes Check(Model model, Dictionary<string, long> sizes, int unknown = 0, Func<string, long>? integers = null)
    {
        GraphShapes shapes = ShapeInference.Infer(model, sizes);
        Graph graph = model.Graph;
        HashSet<string> outputs = [.. graph.Outputs.Select(o => o.Name)];
        string[] made = [.. graph.Nodes.Where(n => !n.Is("Constant")).SelectMany(n => n.Outputs).Where(o => o.Length > 0)];
        // Types of values are the runtime's to find.
        ValueInfo[] added = [.. made.Where(m => !outputs.Contains(m)).Select(m => new ValueInfo(m, ValueType.Unknown))];
        byte[] bytes = OnnxModelWriter.WriteWeightless(model with { Graph = graph with { Outputs = [.. graph.Outputs, .. added], ValueInfos = [] } }, _ => false, t => DenseTensorData.Of(t.DType, t.Encoding));
        using var options = new SessionOptions { GraphOptimizationLevel = GraphOptimizationLevel.ORT_DISABLE_ALL, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
        using var session = new InferenceSession(bytes, options);
        using var run = new RunOptions();
        ValueInfo[] inputs = [.. graph.FreeInputs()];
        OrtValue[] values = [.. inputs.Select(i => Make(shapes[i.Name], integers?.Invoke(i.Name) ?? 0))];
        var missing = new List<string>();
        using (IDisposableReadOnlyCollection<OrtValue> results = session.Run(run, [.. inputs.Select(i => i.Name)], values, made))
        {
            foreach ((string name, OrtValue result) in made.Zip(results).Where(r => r.Second.IsTensor))
            {
                Node node = graph.Nodes.First(n => n.Outputs.Contains(name));
                OrtTensorTypeAndShapeInfo info = result.GetTensorTypeAndShape();
                ValueShape found = shapes[name];
                if (found.Shape is not Shape shape)
                {
                    missing.Add($"{name} of {node.Handle} ({node.OpType}) is [{string.Join(",", info.Shape)}]");
                    continue;
                }

                Assert.True(shape.Dims.SequenceEqual(info.Shape), $"{name} of {node.Handle} ({node.OpType}): {shape} inferred, [{string.Join(",", info.Shape)}] it is");
                Assert.True(found.DType == OnnxTypes.FromNumber((long)info.ElementDataType), $"{name} of {node.Handle} ({node.OpType}): {found.DType} inferred, {info.ElementDataType} it is");
                CheckElements(name, node, found, result);
            }
        }

        foreach (OrtValue value in values)
        {
            value.Dispose();
        }

        Assert.True(missing.Count <= unknown, $"{missing.Count} shapes are not known: {string.Join("; ", missing.Concat(Unknown(shapes)).Take(10))}");
        return shapes;
    }

    /// <summary>Values inside branches whose shape is not known.</summary>
    private static IEnumerable<string> Unknown(GraphShapes shapes) => shapes.Inner.Values.SelectMany(inner => inner.Graph.Nodes
        .SelectMany(n => n.Outputs.Where(o => o.Length > 0 && inner[o].Shape is null).Select(o => $"{o} of {n.Handle} ({n.OpType}) in a branch")).Concat(Unknown(inner)));

    private static void CheckElements(string name, Node node, ValueShape found, OrtValue result)
    {
        if (found.Elements.IsDefault)
        {
            return;
        }

        double[]? actual = found.DType switch
        {
            DType.I64 => [.. result.GetTensorDataAsSpan<long>().ToArray().Select(v => (double)v)],
            DType.I32 => [.. result.GetTensorDataAsSpan<int>().ToArray().Select(v => (double)v)],
            DType.F32 => [.. result.GetTensorDataAsSpan<float>().ToArray().Select(v => (double)v)],
            DType.Bool => [.. result.GetTensorDataAsSpan<bool>().ToArray().Select(v => v ? 1.0 : 0)],
            _ => null,
        };
        Assert.True(actual is null || actual.Zip(found.Elements).All(p => p.First == p.Second || Math.Abs(p.First - p.Second) < 1e-6 * Math.Abs(p.First)), $"elements of {name} of {node.Handle} ({node.OpType}): {string.Join(",", found.Elements.Take(8))} inferred, {string.Join(",", actual?.Take(8) ?? [])} they are");
    }

    private static OrtValue Make(ValueShape value, long integer)
    {
        long[] dims = [.. value.Shape!.Value.Dims];
        long count = value.Shape.Value.ElementCount;
        switch (value.DType)
        {
            case DType.F32:
                return OrtValue.CreateTensorValueFromMemory(new float[count], dims);
            case DType.F16:
                return OrtValue.CreateTensorValueFromMemory(new Float16[count], dims);
            case DType.I64:
                long[] numbers = new long[count];
                Array.Fill(numbers, integer);
                return OrtValue.CreateTensorValueFromMemory(numbers, dims);
            case DType.I8:
                return OrtValue.CreateTensorValueFromMemory(new sbyte[count], dims);
            case DType.Bool:
                return OrtValue.CreateTensorValueFromMemory(new bool[count], dims);
            default:
                throw new NotSupportedException(value.DType.ToString());
        }
    }
}
