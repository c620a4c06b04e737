using System.Runtime.InteropServices;

namespace ModelPack.Testing.Onnx;

/// <summary>
/// Builds small ONNX files field by field (onnx.proto3, published field numbers). Element types are the numbers of
/// <c>TensorProto.DataType</c>: 1 float, 2 uint8, 7 int64, 9 bool, 10 float16, 16 bfloat16.
/// </summary>
public sealed class OnnxBuilder
{
    public const int Float = 1;
    public const int UInt8 = 2;
    public const int Int32 = 6;
    public const int Int64 = 7;
    public const int Text = 8;
    public const int Bool = 9;
    public const int Float16 = 10;
    public const int Double = 11;
    public const int BFloat16 = 16;

    private readonly ProtoWriter _graph = new();
    private readonly List<(string Domain, long Version)> _opsets = [];

    /// <param name="opset">Version of the standard operator set.</param>
    public OnnxBuilder(long opset = 17)
    {
        _opsets.Add(("", opset));
    }

    public OnnxBuilder Opset(string domain, long version)
    {
        _opsets.Add((domain, version));
        return this;
    }

    /// <summary>A graph input; a dimension is a number (long or int) or a symbol (string).</summary>
    public OnnxBuilder Input(string name, int type, params object[] dims) => ValueInfo(11, name, type, dims);

    public OnnxBuilder Output(string name, int type, params object[] dims) => ValueInfo(12, name, type, dims);

    /// <summary>A node; attribute values are int, long, float, string, long[], or another builder for a subgraph.</summary>
    public OnnxBuilder Node(string op, string[] inputs, string[] outputs, string domain = "", string name = "", params (string Name, object Value)[] attributes)
    {
        var node = new ProtoWriter();
        foreach (string input in inputs)
        {
            node.Text(1, input);
        }

        foreach (string output in outputs)
        {
            node.Text(2, output);
        }

        node.Text(3, name.Length > 0 ? name : op + "_" + outputs[0]).Text(4, op);
        foreach ((string key, object value) in attributes)
        {
            node.Message(5, Attribute(key, value));
        }

        if (domain.Length > 0)
        {
            node.Text(7, domain);
        }

        _graph.Message(1, node);
        return this;
    }

    public OnnxBuilder Initializer(string name, ReadOnlySpan<float> values, params long[] dims) =>
        Initializer(name, Float, MemoryMarshal.AsBytes(values), dims);

    public OnnxBuilder Initializer(string name, ReadOnlySpan<long> values, params long[] dims) =>
        Initializer(name, Int64, MemoryMarshal.AsBytes(values), dims);

    /// <summary>An initializer with its bytes in <c>raw_data</c>.</summary>
    public OnnxBuilder Initializer(string name, int type, ReadOnlySpan<byte> raw, params long[] dims)
    {
        _graph.Message(5, Tensor(name, type, dims).Bytes(9, raw));
        return this;
    }

    /// <summary>An initializer whose bytes lie elsewhere.</summary>
    public OnnxBuilder External(string name, int type, long[] dims, string location, long offset, long length)
    {
        ProtoWriter tensor = Tensor(name, type, dims);
        foreach ((string key, string value) in new[] { ("location", location), ("offset", $"{offset}"), ("length", $"{length}") })
        {
            tensor.Message(13, new ProtoWriter().Text(1, key).Text(2, value));
        }

        _graph.Message(5, tensor.Varint(14, 1));
        return this;
    }

    public byte[] Build(string graphName = "g", long irVersion = 8)
    {
        _graph.Text(2, graphName);
        ProtoWriter model = new ProtoWriter().Varint(1, irVersion).Text(2, "tests").Message(7, _graph);
        foreach ((string domain, long version) in _opsets)
        {
            var opset = new ProtoWriter();
            if (domain.Length > 0)
            {
                opset.Text(1, domain);
            }

            model.Message(8, opset.Varint(2, version));
        }

        return model.ToArray();
    }

    private static ProtoWriter Tensor(string name, int type, long[] dims)
    {
        var tensor = new ProtoWriter();
        foreach (long dim in dims)
        {
            tensor.Varint(1, dim);
        }

        return tensor.Varint(2, type).Text(8, name);
    }

    private static ProtoWriter Attribute(string name, object value)
    {
        ProtoWriter attribute = new ProtoWriter().Text(1, name);
        switch (value)
        {
            case float f:
                return attribute.Float(2, f).Varint(20, 1);
            case OnnxBuilder graph:
                return attribute.Message(6, graph._graph.Text(2, name)).Varint(20, 5);
            case int i:
                return attribute.Varint(3, i).Varint(20, 2);
            case long l:
                return attribute.Varint(3, l).Varint(20, 2);
            case string s:
                return attribute.Text(4, s).Varint(20, 3);
            case long[] ls:
                foreach (long l in ls)
                {
                    attribute.Varint(8, l);
                }

                return attribute.Varint(20, 7);
            default:
                throw new ArgumentException($"attribute {name}: {value.GetType()} is not supported", nameof(value));
        }
    }

    private OnnxBuilder ValueInfo(int field, string name, int type, object[] dims)
    {
        var shape = new ProtoWriter();
        foreach (object dim in dims)
        {
            shape.Message(1, dim switch
            {
                string symbol => new ProtoWriter().Text(2, symbol),
                int i => new ProtoWriter().Varint(1, i),
                long l => new ProtoWriter().Varint(1, l),
                _ => throw new ArgumentException($"{name}: dimension {dim}", nameof(dims)),
            });
        }

        ProtoWriter tensorType = new ProtoWriter().Varint(1, type).Message(2, shape);
        _graph.Message(field, new ProtoWriter().Text(1, name).Message(2, new ProtoWriter().Message(1, tensorType)));
        return this;
    }
}
