using System.Collections.Immutable;
using System.Runtime.InteropServices;
using ModelPack.Compiler;

namespace ModelPack.Tests.Compiler;

/// <summary>Short words for building graphs by hand.</summary>
internal static class Ir
{
    public static Node Op(string type, string inputs, string outputs, params NodeAttribute[] attributes) => new()
    {
        OpType = type,
        Inputs = Names(inputs),
        Outputs = Names(outputs),
        Attributes = [.. attributes],
    };

    public static NodeAttribute Int(string name, long value) => new(name, new AttributeValue.Int(value));

    public static NodeAttribute Ints(string name, params long[] values) => new(name, new AttributeValue.Ints([.. values]));

    public static NodeAttribute Sub(string name, Graph graph) => new(name, new AttributeValue.GraphValue(graph));

    public static Node Constant(string output, Tensor value) => Op("Constant", "", output, new NodeAttribute("value", new AttributeValue.TensorValue(value)));

    public static Graph Graph(string inputs, string outputs, Node[] nodes, params Tensor[] initializers) => new()
    {
        Inputs = [.. Names(inputs).Select(n => new ValueInfo(n, FloatType))],
        Outputs = [.. Names(outputs).Select(n => new ValueInfo(n, FloatType))],
        Nodes = [.. nodes],
        Initializers = [.. initializers],
    };

    public static Model Model(Graph graph, long irVersion = 8, long opset = 17) => new()
    {
        Kind = ModelKind.Onnx,
        Graph = graph,
        IrVersion = irVersion,
        Opsets = ImmutableSortedDictionary<string, long>.Empty.WithComparers(StringComparer.Ordinal).Add("", opset),
    };

    public static Model Checkpoint(params Tensor[] tensors) => new() { Kind = ModelKind.Safetensors, Graph = new Graph { Initializers = [.. tensors] } };

    public static Tensor F32(string name, long[] shape, params float[] values) =>
        Tensor.Raw(name, DType.F32, new Shape(shape), TensorData.FromBytes(MemoryMarshal.AsBytes(values.AsSpan()).ToArray()));

    public static Tensor I64(string name, long[] shape, params long[] values) =>
        Tensor.Raw(name, DType.I64, new Shape(shape), TensorData.FromBytes(MemoryMarshal.AsBytes(values.AsSpan()).ToArray()));

    /// <summary>An F32 tensor of pseudo-random values in [-1, 1).</summary>
    public static Tensor Random(string name, params long[] shape) => RandomOf(1, name, shape);

    public static Tensor RandomOf(int seed, string name, params long[] shape)
    {
        float[] values = new float[new Shape(shape).ElementCount];
        var random = new Random(seed);
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = (random.NextSingle() * 2) - 1;
        }

        return F32(name, shape, values);
    }

    public static PassContext Context(CancellationToken cancellation = default) => new()
    {
        OpenValues = _ => throw new InvalidOperationException("no values in this test"),
        Cancellation = cancellation,
    };

    public static string Text(this Graph graph) => string.Join("; ", graph.Nodes.Select(n => $"{n.OpType}({string.Join(',', n.Inputs)})->{string.Join(',', n.Outputs)}"));

    private static ModelPack.Compiler.ValueType FloatType { get; } = new(DType.F32, default);

    private static ImmutableArray<string> Names(string text) => text.Length == 0 ? [] : [.. text.Split(',').Select(s => s.Trim())];
}
