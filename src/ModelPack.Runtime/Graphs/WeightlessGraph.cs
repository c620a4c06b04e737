using System.Globalization;
using System.Text;
using ModelPack.Runtime.Loading;

namespace ModelPack.Runtime.Graphs;

/// <summary>
/// The graph stored in an artifact: an ONNX model whose weights are declared as external data. Finds those declarations and points them at
/// buffers in memory; nothing else of the model is looked at or changed.
/// </summary>
/// <remarks>
/// The graph comes from an untrusted file, and ONNX Runtime would open any file that external data names: so external data is accepted only
/// for initializers of the main graph, where every one is replaced, and rejected everywhere else.
/// </remarks>
internal static class WeightlessGraph
{
    // Field numbers of onnx.proto3.
    private const int ModelGraph = 7;
    private const int ModelFunctions = 25;
    private const int ModelTrainingInfo = 20;
    private const int GraphNode = 1;
    private const int GraphInitializer = 5;
    private const int GraphSparseInitializer = 15;
    private const int NodeAttribute = 5;
    private const int FunctionNode = 7;
    private const int TensorDims = 1;
    private const int TensorDataType = 2;
    private const int TensorName = 8;
    private const int TensorRawData = 9;
    private const int TensorExternalData = 13;
    private const int TensorDataLocation = 14;
    private const int MaxDepth = 64;

    /// <summary>An initializer of the main graph that is declared external.</summary>
    /// <param name="Name">Its name.</param>
    /// <param name="OnnxType">Number of its element type in <c>TensorProto.DataType</c>.</param>
    /// <param name="Dims">Its shape.</param>
    internal sealed record Declaration(string Name, int OnnxType, long[] Dims);

    /// <summary>Lists the external initializers in graph order.</summary>
    /// <exception cref="ModelPackException">MP5003: not a valid model, or external data elsewhere than in initializers of the main graph.</exception>
    internal static List<Declaration> FindExternal(ReadOnlySpan<byte> model)
    {
        var found = new List<Declaration>();
        var fields = new ProtoSpan(model);
        while (fields.Next())
        {
            switch (fields.Field)
            {
                case ModelGraph when fields.IsBytes:
                    ReadGraph(fields.Payload, found, 0);
                    break;
                case ModelFunctions when fields.IsBytes:
                    ReadNodes(fields.Payload, FunctionNode, 0);
                    break;
                case ModelTrainingInfo when fields.IsBytes:
                    throw new ModelPackException(ErrorCodes.BadPlan, "the graph in the artifact carries training information");
            }
        }

        return found;
    }

    /// <summary>A copy of the model in which the named initializers are found where weights are, or hold the given bytes.</summary>
    internal static byte[] Relocate(ReadOnlySpan<byte> model, IReadOnlyDictionary<string, LoadedWeight> weights, IReadOnlyDictionary<string, byte[]> constants)
    {
        var output = new ProtoBuffer(model.Length + (weights.Count * 64));
        var fields = new ProtoSpan(model);
        while (fields.Next())
        {
            if (fields.Field == ModelGraph && fields.IsBytes)
            {
                var graph = new ProtoBuffer(fields.Payload.Length + (weights.Count * 64));
                RelocateGraph(fields.Payload, weights, constants, graph);
                output.Bytes(ModelGraph, graph.Written);
            }
            else
            {
                output.Copy(fields.Whole);
            }
        }

        return output.ToArray();
    }

    private static void RelocateGraph(
        ReadOnlySpan<byte> graph, IReadOnlyDictionary<string, LoadedWeight> weights, IReadOnlyDictionary<string, byte[]> constants, ProtoBuffer output)
    {
        var fields = new ProtoSpan(graph);
        while (fields.Next())
        {
            if (fields.Field == GraphInitializer && fields.IsBytes && ReadTensor(fields.Payload) is Declaration tensor)
            {
                var rewritten = new ProtoBuffer(fields.Payload.Length + 64);
                if (constants.TryGetValue(tensor.Name, out byte[]? constant))
                {
                    WriteConstant(fields.Payload, constant, rewritten);
                    output.Bytes(GraphInitializer, rewritten.Written);
                    continue;
                }

                LoadedWeight weight = weights[tensor.Name];
                var inner = new ProtoSpan(fields.Payload);
                while (inner.Next())
                {
                    if (inner.Field != TensorExternalData)
                    {
                        rewritten.Copy(inner.Whole);
                    }
                }

                AddEntry(rewritten, "location", weight.Location);
                AddEntry(rewritten, "offset", "0");
                AddEntry(rewritten, "length", weight.Buffer.LengthBytes.ToString(CultureInfo.InvariantCulture));
                output.Bytes(GraphInitializer, rewritten.Written);
            }
            else
            {
                output.Copy(fields.Whole);
            }
        }
    }

    /// <summary>The tensor as a vector of bytes that it holds itself.</summary>
    private static void WriteConstant(ReadOnlySpan<byte> tensor, byte[] bytes, ProtoBuffer output)
    {
        var fields = new ProtoSpan(tensor);
        while (fields.Next())
        {
            if (fields.Field is not (TensorDims or TensorRawData or TensorExternalData or TensorDataLocation))
            {
                output.Copy(fields.Whole);
            }
        }

        output.Bytes(TensorDims, [(byte)bytes.Length]); // Packed: one number below 128.
        output.Bytes(TensorRawData, bytes);
    }

    private static void AddEntry(ProtoBuffer tensor, string key, string value)
    {
        var entry = new ProtoBuffer(64);
        entry.Bytes(1, Encoding.UTF8.GetBytes(key));
        entry.Bytes(2, Encoding.UTF8.GetBytes(value));
        tensor.Bytes(TensorExternalData, entry.Written);
    }

    /// <summary>Reads a graph; <paramref name="found"/> is null inside subgraphs, where external data is not allowed.</summary>
    private static void ReadGraph(ReadOnlySpan<byte> graph, List<Declaration>? found, int depth)
    {
        var fields = new ProtoSpan(graph);
        while (fields.Next())
        {
            if (fields.Field == GraphInitializer && fields.IsBytes && ReadTensor(fields.Payload) is Declaration tensor)
            {
                (found ?? throw Elsewhere(tensor.Name)).Add(tensor);
            }
            else if (fields.Field == GraphSparseInitializer && fields.IsBytes)
            {
                RejectIn(fields.Payload, 1, 2);
            }
        }

        ReadNodes(graph, GraphNode, depth);
    }

    private static void ReadNodes(ReadOnlySpan<byte> owner, int nodeField, int depth)
    {
        if (depth > MaxDepth)
        {
            throw new ModelPackException(ErrorCodes.BadPlan, $"the graph in the artifact nests more than {MaxDepth} levels");
        }

        var fields = new ProtoSpan(owner);
        while (fields.Next())
        {
            if (fields.Field == nodeField && fields.IsBytes)
            {
                var node = new ProtoSpan(fields.Payload);
                while (node.Next())
                {
                    if (node.Field == NodeAttribute && node.IsBytes)
                    {
                        ReadAttribute(node.Payload, depth);
                    }
                }
            }
        }
    }

    private static void ReadAttribute(ReadOnlySpan<byte> attribute, int depth)
    {
        var fields = new ProtoSpan(attribute);
        while (fields.Next())
        {
            switch (fields.Field)
            {
                case 5 or 10 when fields.IsBytes && ReadTensor(fields.Payload) is Declaration tensor: // t, tensors
                    throw Elsewhere(tensor.Name);
                case 6 or 11 when fields.IsBytes: // g, graphs
                    ReadGraph(fields.Payload, null, depth + 1);
                    break;
                case 22 or 23 when fields.IsBytes: // sparse_tensor, sparse_tensors
                    RejectIn(fields.Payload, 1, 2);
                    break;
            }
        }
    }

    private static void RejectIn(ReadOnlySpan<byte> sparseTensor, int valuesField, int indicesField)
    {
        var fields = new ProtoSpan(sparseTensor);
        while (fields.Next())
        {
            if ((fields.Field == valuesField || fields.Field == indicesField) && fields.IsBytes && ReadTensor(fields.Payload) is Declaration tensor)
            {
                throw Elsewhere(tensor.Name);
            }
        }
    }

    /// <returns>Null when the tensor carries its own data.</returns>
    private static Declaration? ReadTensor(ReadOnlySpan<byte> tensor)
    {
        string name = "";
        int type = 0;
        bool external = false;
        var dims = new List<long>();
        var fields = new ProtoSpan(tensor);
        while (fields.Next())
        {
            switch (fields.Field)
            {
                case TensorDims when fields.IsBytes: // Packed.
                    var packed = fields.Payload;
                    while (!packed.IsEmpty)
                    {
                        dims.Add(ReadPacked(ref packed));
                    }

                    break;
                case TensorDims:
                    dims.Add((long)fields.Value);
                    break;
                case TensorDataType:
                    type = (int)fields.Value;
                    break;
                case TensorName when fields.IsBytes:
                    name = Encoding.UTF8.GetString(fields.Payload);
                    break;
                case TensorDataLocation:
                    external = fields.Value == 1;
                    break;
            }
        }

        return external ? new Declaration(name, type, dims.ToArray()) : null;
    }

    private static long ReadPacked(ref ReadOnlySpan<byte> packed)
    {
        ulong value = 0;
        for (int i = 0; i < Math.Min(10, packed.Length); i++)
        {
            value |= (ulong)(packed[i] & 0x7F) << (7 * i);
            if (packed[i] < 0x80)
            {
                packed = packed[(i + 1)..];
                return (long)value;
            }
        }

        throw ProtoSpan.Malformed();
    }

    private static ModelPackException Elsewhere(string name) =>
        new(ErrorCodes.BadPlan, "declared external outside the main graph's initializers, where it cannot be bound", tensor: name);
}
