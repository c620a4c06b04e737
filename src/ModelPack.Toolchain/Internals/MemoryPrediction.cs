using ModelPack.Compiler;
using ModelPack.Compiler.Planning;
using ModelPack.Compiler.Planning.Memory;
using ModelPack.Compiler.Shapes;
using ModelPack.Containers.Onnx;
using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>Predicts the sizes of what an artifact's execution graph computes, and the memory that it takes.</summary>
internal sealed class MemoryPrediction
{
    private readonly Dictionary<string, Node> _nodes;
    private readonly Dictionary<string, Node> _readers = new(StringComparer.Ordinal);

    private MemoryPrediction(GraphShapes shapes, ExecutionPlan plan, PackReader reader, bool isSized)
    {
        long weightBytes = plan.Bindings.Sum(b => b.DType.StorageBytes(b.Shape.ElementCount));
        Shapes = shapes;
        IsSized = isSized;
        _nodes = shapes.Graph.Nodes.Where(n => n.Name.Length > 0).DistinctBy(n => n.Name, StringComparer.Ordinal).ToDictionary(n => n.Name, StringComparer.Ordinal);
        Dictionary<string, string> tensors = plan.Bindings.ToDictionary(b => b.Initializer, b => PlanPrediction.Whole(b.Tensor, reader), StringComparer.Ordinal);
        foreach (Node node in shapes.Graph.Nodes.Where(OperatorCosts.IsProduct))
        {
            foreach (string weight in node.Inputs.Where(tensors.ContainsKey))
            {
                _readers.TryAdd(tensors[weight], node);
            }
        }

        MemoryPlan memory = MemoryPlanner.Plan(shapes);
        Memory = new PredictedMemory
        {
            Sizes = shapes.Sizes,
            WeightBytes = weightBytes,
            ArenaBytes = memory.ArenaBytes,
            PeakBytes = memory.PeakBytes,
            PeakNode = memory.PeakNode,
            InputBytes = memory.InputBytes,
            ConstantBytes = memory.ConstantBytes,
            Unknown = memory.Unknown,
            Buffers = [.. memory.Buffers.Select(b => new PredictedBuffer(b.Values, b.OffsetBytes, b.LengthBytes, b.First, b.Last))],
        };
    }

    /// <summary>Shapes of all values.</summary>
    public GraphShapes Shapes { get; }

    /// <summary>False where the inputs leave sizes open that nobody gave, other than tokens at a time.</summary>
    public bool IsSized { get; }

    /// <summary>The memory.</summary>
    public PredictedMemory Memory { get; }

    /// <summary>Predicts.</summary>
    /// <param name="reader">The artifact.</param>
    /// <param name="plan">Its plan.</param>
    /// <param name="sizes">Free sizes by name (<see cref="ShapeInference.FreeSizes(Graph)"/>).</param>
    /// <param name="rows">Tokens at a time: the last open dimension of the first input of integers, unless it was given.</param>
    /// <param name="cancellation">Stops reading.</param>
    /// <returns>Null for an artifact without an execution graph.</returns>
    /// <exception cref="ModelPackException">MP3004: a size that the inputs do not leave open.</exception>
    public static MemoryPrediction? Of(PackReader reader, ExecutionPlan plan, IReadOnlyDictionary<string, long> sizes, long rows, CancellationToken cancellation)
    {
        if (!reader.Blobs.TryGetValue(Artifact.ExecutionGraphBlob, out TensorData? graph))
        {
            return null;
        }

        // Of bound weights only type and shape matter: they stay where they are.
        Model model = OnnxModelReader.ReadWeightless(graph, (_, placeholder) => placeholder with { Encoding = new DenseEncoding(new UnitSpec(placeholder.DType.Name()), placeholder.Shape, []) }, cancellation);
        var all = new Dictionary<string, long>(sizes, StringComparer.Ordinal);
        string? tokens = Tokens(model.Graph);
        if (tokens is not null)
        {
            all.TryAdd(tokens, rows);
        }

        try
        {
            bool sized = all.Count > 0 || ShapeInference.FreeSizes(model.Graph).Count == 0;
            return new MemoryPrediction(ShapeInference.Infer(model, all), plan, reader, sized);
        }
        catch (ModelPackException e)
        {
            throw e.WithPath(reader.File.Path);
        }
    }

    /// <summary>Rows of activations that a node multiplies; null where they are not known.</summary>
    /// <param name="node">Name of the node in the model, which the node of the execution graph in its place keeps.</param>
    /// <param name="tensor">Its weight, by which it is found where several nodes became one or one became several.</param>
    public long? Rows(string node, string tensor) =>
        (_nodes.TryGetValue(node, out Node? found) || _readers.TryGetValue(tensor, out found)) && Shapes[found.Input(0)].Shape is { Rank: > 0 } x ? x.Rows : null;

    /// <summary>Bytes of the first input of a node; null where they are not known.</summary>
    /// <param name="node">Name of the node, as for <see cref="Rows"/>.</param>
    public long? ActivationBytes(string node) => _nodes.TryGetValue(node, out Node? found) ? Shapes[found.Input(0)].Bytes : null;

    /// <summary>Bytes of what a node makes; null where they are not known.</summary>
    /// <param name="node">Name of the node, as for <see cref="Rows"/>.</param>
    public long? ResultBytes(string node) => _nodes.TryGetValue(node, out Node? found) ? Shapes[found.Outputs[0]].Bytes : null;

    private static string? Tokens(Graph graph) => graph.FreeInputs()
        .Where(i => i.Type.DType is DType.I64 or DType.I32 && i.Type.Dims is { IsDefault: false, Length: 1 or 2 } dims && dims[^1] is { Value: null, Symbol.Length: > 0 })
        .Select(i => i.Type.Dims[^1].Symbol)
        .FirstOrDefault();
}
