using System.Text;

namespace ModelPack.Runtime.Graphs;

/// <summary>
/// Makes the head of a language model compute the last position only: where <c>logits = head(x)</c>, x [batch, seq, hidden] and nothing in the head looks at other positions, x becomes <c>Gather(x, [-1], axis=-2)</c>. That is all that
/// generation reads of a prompt; the product with the vocabulary and its memory are saved for all other tokens.
/// </summary>
/// <remarks>
/// Known are heads of one product with a constant (MatMul, Gemm between two Reshapes, MatMulNBits, PackedMatMul), followed by what acts on single elements. Every other graph stays as it is, as do graphs with subgraphs. Heads that round
/// activations by a range of the whole tensor (DynamicQuantizeLinear) are none of these: their scores depend on the other positions. Models that take a fixed number of tokens stay as well.
/// </remarks>
internal static partial class LastPosition
{
    private const int ModelGraph = 7;
    private const int ModelOpsetImport = 8;
    private const int GraphNode = 1;
    private const int GraphInitializer = 5;
    private const int GraphInput = 11;
    private const int GraphOutput = 12;
    private const int GraphValueInfo = 13;
    private const int NodeInput = 1;
    private const int NodeOutput = 2;
    private const int NodeOp = 4;
    private const int NodeAttribute = 5;
    private const int NodeDomain = 7;
    private const int TensorName = 8;
    private const int LeastOpset = 11; // Negative indices of Gather.
    private const string Gathered = "modelpack.last_position";

    private static readonly HashSet<string> ElementWise = new(StringComparer.Ordinal) { "Cast", "Identity", "Tanh" };

    /// <summary>One operand may be a constant.</summary>
    private static readonly HashSet<string> WithConstant = new(StringComparer.Ordinal) { "Add", "Sub", "Mul", "Div" };

    private static readonly HashSet<string> Products = new(StringComparer.Ordinal) { "MatMul", "Gemm", "MatMulNBits", "PackedMatMul" };

    /// <summary>The model with a head of the last position; null when its head is none that is known.</summary>
    /// <param name="model">An ONNX model.</param>
    /// <param name="logits">Name of the output.</param>
    /// <exception cref="ModelPackException">MP5003: not a valid ONNX model.</exception>
    public static byte[]? TryKeepOnly(ReadOnlySpan<byte> model, string logits = "logits")
    {
        var fields = new ProtoSpan(model);
        ReadOnlySpan<byte> graph = default;
        while (fields.Next())
        {
            if (fields.Field == ModelGraph && fields.IsBytes)
            {
                graph = fields.Payload;
            }
            else if (fields.Field == ModelOpsetImport && fields.IsBytes && IsTooOld(fields.Payload))
            {
                return null;
            }
        }

        if (Head.Find(graph, logits) is not Head head)
        {
            return null;
        }

        var output = new ProtoBuffer(model.Length + 256);
        fields = new ProtoSpan(model);
        while (fields.Next())
        {
            if (fields.Field == ModelGraph && fields.IsBytes)
            {
                output.Bytes(ModelGraph, Rewrite(fields.Payload, head));
            }
            else
            {
                output.Copy(fields.Whole);
            }
        }

        return output.ToArray();
    }

    /// <summary>Which values the head consists of.</summary>
    /// <param name="Input">x.</param>
    /// <param name="Nodes">By number.</param>
    /// <param name="Values">What they give.</param>
    private sealed record Head(string Input, HashSet<int> Nodes, HashSet<string> Values)
    {
        public static Head? Find(ReadOnlySpan<byte> graph, string logits)
        {
            List<Node>? nodes = ReadNodes(graph, out HashSet<string> constants, out HashSet<string> outputs);
            return nodes is null || !outputs.Remove(logits) ? null : new Search(nodes, constants).Run(logits, outputs);
        }
    }

    private sealed record Node(string Op, List<string> Inputs, List<string> Outputs);

    private static ReadOnlySpan<byte> Rewrite(ReadOnlySpan<byte> graph, Head head)
    {
        var output = new ProtoBuffer(graph.Length + 256);
        int number = 0;
        bool placed = false;
        var fields = new ProtoSpan(graph);
        while (fields.Next())
        {
            if (fields.Field == GraphNode && fields.IsBytes)
            {
                if (!head.Nodes.Contains(number++))
                {
                    output.Copy(fields.Whole);
                    continue;
                }

                if (!placed)
                {
                    placed = true;
                    WriteGather(output, head.Input);
                }

                var node = new ProtoBuffer(fields.Payload.Length + 64);
                var inner = new ProtoSpan(fields.Payload);
                while (inner.Next())
                {
                    if (inner.Field == NodeInput && Encoding.UTF8.GetString(inner.Payload) == head.Input)
                    {
                        node.Bytes(NodeInput, Encoding.UTF8.GetBytes(Gathered));
                    }
                    else
                    {
                        node.Copy(inner.Whole);
                    }
                }

                output.Bytes(GraphNode, node.Written);
            }
            else if (!(fields.Field == GraphValueInfo && fields.IsBytes && head.Values.Contains(Text(fields.Payload, 1))))
            {
                output.Copy(fields.Whole);
            }
        }

        return output.Written;
    }

    /// <summary>Comes before the first node of the head; x is made before that, since nodes are in topological order.</summary>
    private static void WriteGather(ProtoBuffer graph, string input)
    {
        const int int64 = 7;
        const int attributeInt = 2;
        var index = new ProtoBuffer(64);
        index.Bytes(1, [1]); // dims, packed
        index.Varint(2, int64);
        index.Bytes(TensorName, Encoding.UTF8.GetBytes(Gathered + ".index"));
        index.Bytes(9, [255, 255, 255, 255, 255, 255, 255, 255]); // raw_data: -1
        graph.Bytes(GraphInitializer, index.Written);

        var axis = new ProtoBuffer(32);
        axis.Bytes(1, "axis"u8);
        axis.Varint(3, unchecked((ulong)-2L));
        axis.Varint(20, attributeInt);
        var node = new ProtoBuffer(128);
        node.Bytes(NodeInput, Encoding.UTF8.GetBytes(input));
        node.Bytes(NodeInput, Encoding.UTF8.GetBytes(Gathered + ".index"));
        node.Bytes(NodeOutput, Encoding.UTF8.GetBytes(Gathered));
        node.Bytes(3, Encoding.UTF8.GetBytes(Gathered)); // name
        node.Bytes(NodeOp, "Gather"u8);
        node.Bytes(NodeAttribute, axis.Written);
        graph.Bytes(GraphNode, node.Written);
    }

    private static bool IsTooOld(ReadOnlySpan<byte> import)
    {
        ulong version = 0;
        string domain = "";
        var fields = new ProtoSpan(import);
        while (fields.Next())
        {
            domain = fields.Field == 1 ? Encoding.UTF8.GetString(fields.Payload) : domain;
            version = fields.Field == 2 ? fields.Value : version;
        }

        return domain is "" or "ai.onnx" && version < LeastOpset;
    }

    /// <summary>Null when a node has a graph of its own, which may read any value, or an input takes a fixed number of tokens.</summary>
    private static List<Node>? ReadNodes(ReadOnlySpan<byte> graph, out HashSet<string> constants, out HashSet<string> outputs)
    {
        constants = new HashSet<string>(StringComparer.Ordinal);
        outputs = new HashSet<string>(StringComparer.Ordinal);
        var nodes = new List<Node>();
        var fields = new ProtoSpan(graph);
        while (fields.Next())
        {
            switch (fields.Field)
            {
                case GraphInitializer when fields.IsBytes:
                    constants.Add(Text(fields.Payload, TensorName));
                    break;
                case GraphInput when fields.IsBytes && HasFixedColumns(fields.Payload):
                    return null;
                case GraphOutput when fields.IsBytes:
                    outputs.Add(Text(fields.Payload, 1));
                    break;
                case GraphNode when fields.IsBytes:
                    if (ReadNode(fields.Payload) is not Node node)
                    {
                        return null;
                    }

                    nodes.Add(node);
                    break;
            }
        }

        return nodes;
    }

    private static Node? ReadNode(ReadOnlySpan<byte> bytes)
    {
        var inputs = new List<string>();
        var outputs = new List<string>();
        string op = "";
        string domain = "";
        bool turned = false;
        var fields = new ProtoSpan(bytes);
        while (fields.Next())
        {
            switch (fields.Field)
            {
                case NodeInput when fields.IsBytes:
                    inputs.Add(Encoding.UTF8.GetString(fields.Payload));
                    break;
                case NodeOutput when fields.IsBytes:
                    outputs.Add(Encoding.UTF8.GetString(fields.Payload));
                    break;
                case NodeOp when fields.IsBytes:
                    op = Encoding.UTF8.GetString(fields.Payload);
                    break;
                case NodeDomain when fields.IsBytes:
                    domain = Encoding.UTF8.GetString(fields.Payload);
                    break;
                case NodeAttribute when fields.IsBytes && HasGraph(fields.Payload):
                    return null;
                case NodeAttribute when fields.IsBytes && Text(fields.Payload, 1) == "transA" && IsOne(fields.Payload):
                    turned = true; // Positions are columns.
                    break;
            }
        }

        // Operators of other domains are known by name only where the domain is the one that has them.
        bool known = op switch
        {
            "MatMulNBits" => domain == "com.microsoft",
            "PackedMatMul" => domain == "ai.modelpack",
            _ => domain is "" or "ai.onnx",
        };
        return new Node(known && !turned ? op : "", inputs, outputs);
    }

    /// <summary>An input [.., n] whose n is a number: ValueInfoProto, its type, tensor_type, shape, dims, dim_value.</summary>
    private static bool HasFixedColumns(ReadOnlySpan<byte> input)
    {
        var dims = new ProtoSpan(Part(Part(Part(input, 2), 1), 2));
        int count = 0;
        bool isFixed = false;
        while (dims.Next())
        {
            count++;
            isFixed = dims.IsBytes && HasNumber(dims.Payload);
        }

        return count == 2 && isFixed;
    }

    /// <summary>dim_value is given.</summary>
    private static bool HasNumber(ReadOnlySpan<byte> dim)
    {
        var fields = new ProtoSpan(dim);
        return fields.Next() && fields.Field == 1;
    }

    /// <summary>The last field of that number that holds bytes.</summary>
    private static ReadOnlySpan<byte> Part(ReadOnlySpan<byte> message, int field)
    {
        ReadOnlySpan<byte> found = default;
        var fields = new ProtoSpan(message);
        while (fields.Next())
        {
            found = fields.Field == field && fields.IsBytes ? fields.Payload : found;
        }

        return found;
    }

    private static bool IsOne(ReadOnlySpan<byte> attribute)
    {
        ulong value = 0;
        var fields = new ProtoSpan(attribute);
        while (fields.Next())
        {
            value = fields.Field == 3 ? fields.Value : value;
        }

        return value != 0;
    }

    private static bool HasGraph(ReadOnlySpan<byte> attribute)
    {
        var fields = new ProtoSpan(attribute);
        while (fields.Next())
        {
            if (fields.Field is 6 or 11 && fields.IsBytes)
            {
                return true;
            }
        }

        return false;
    }

    private static string Text(ReadOnlySpan<byte> message, int field) => Encoding.UTF8.GetString(Part(message, field));
}
