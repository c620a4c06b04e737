using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Google.Protobuf;
using ModelPack.Containers.Onnx.Schema;
using Xunit;
using DataType = ModelPack.Containers.Onnx.Schema.TensorProto.Types.DataType;
using Kind = ModelPack.Containers.Onnx.Schema.AttributeProto.Types.AttributeType;

namespace ModelPack.Tests.Onnx;

/// <summary>
/// Says whether two ONNX files mean the same: every field equal, tensors compared by name, dtype, dims and dense bytes, however these are stored.
/// Written apart from the importer: it uses protobuf's own parser and resolves tensor data by itself.
/// </summary>
internal static class OnnxSemantics
{
    public static ModelProto Load(string path) => Normalise(ModelProto.Parser.ParseFrom(File.ReadAllBytes(path)), Path.GetDirectoryName(path)!);

    public static void AssertSame(string expectedPath, string actualPath, bool ignoreIrVersion = false)
    {
        ModelProto expected = Load(expectedPath);
        ModelProto actual = Load(actualPath);
        if (ignoreIrVersion)
        {
            expected.IrVersion = actual.IrVersion;
        }

        AssertSame(expected, actual);
    }

    public static void AssertSame(ModelProto expected, ModelProto actual)
    {
        if (!expected.ToByteArray().AsSpan().SequenceEqual(actual.ToByteArray()))
        {
            Assert.Equal(expected.ToString(), actual.ToString());
            Assert.Fail("the models differ in unknown fields or in the presence of fields");
        }
    }

    public static ModelProto Normalise(ModelProto model, string folder)
    {
        Graph(model.Graph, folder);
        foreach (FunctionProto function in model.Functions)
        {
            foreach (NodeProto node in function.Node)
            {
                Node(node, folder);
            }

            foreach (AttributeProto attribute in function.AttributeProto)
            {
                Attribute(attribute, folder);
            }
        }

        foreach (TrainingInfoProto training in model.TrainingInfo)
        {
            Graph(training.Initialization, folder);
            Graph(training.Algorithm, folder);
        }

        return model;
    }

    /// <summary>Dense little-endian bytes of a tensor.</summary>
    public static byte[] Bytes(TensorProto t, string folder)
    {
        if (t.DataLocation == TensorProto.Types.DataLocation.External)
        {
            Dictionary<string, string> entries = t.ExternalData.ToDictionary(e => e.Key, e => e.Value);
            using FileStream file = File.OpenRead(Path.Combine(folder, entries["location"]));
            file.Position = entries.TryGetValue("offset", out string? offset) ? long.Parse(offset, CultureInfo.InvariantCulture) : 0;
            byte[] bytes = new byte[entries.TryGetValue("length", out string? length) ? long.Parse(length, CultureInfo.InvariantCulture) : file.Length - file.Position];
            file.ReadExactly(bytes);
            return bytes;
        }

        if (t.HasRawData)
        {
            return t.RawData.ToByteArray();
        }

        using var output = new MemoryStream();
        void Put(ulong value, int width)
        {
            Span<byte> b = stackalloc byte[8];
            BinaryPrimitives.WriteUInt64LittleEndian(b, value);
            output.Write(b[..width]);
        }

        foreach (float v in t.FloatData)
        {
            Put(BitConverter.SingleToUInt32Bits(v), 4);
        }

        foreach (double v in t.DoubleData)
        {
            Put(BitConverter.DoubleToUInt64Bits(v), 8);
        }

        foreach (long v in t.Int64Data)
        {
            Put((ulong)v, 8);
        }

        foreach (ulong v in t.Uint64Data)
        {
            Put(v, (DataType)t.DataType == DataType.Uint32 ? 4 : 8);
        }

        int width = (DataType)t.DataType switch
        {
            DataType.Int32 => 4,
            DataType.Int16 or DataType.Uint16 or DataType.Float16 or DataType.Bfloat16 => 2,
            _ => 1,
        };
        foreach (int v in t.Int32Data)
        {
            Put((ulong)v, width);
        }

        return output.ToArray();
    }

    private static void Graph(GraphProto? graph, string folder)
    {
        if (graph is null)
        {
            return;
        }

        foreach (TensorProto tensor in graph.Initializer)
        {
            Tensor(tensor, folder);
        }

        foreach (SparseTensorProto sparse in graph.SparseInitializer)
        {
            Sparse(sparse, folder);
        }

        foreach (NodeProto node in graph.Node)
        {
            Node(node, folder);
        }
    }

    private static void Node(NodeProto node, string folder)
    {
        foreach (AttributeProto attribute in node.Attribute)
        {
            Attribute(attribute, folder);
        }
    }

    private static void Attribute(AttributeProto attribute, string folder)
    {
        if (attribute.Type == Kind.Undefined && attribute.RefAttrName.Length == 0)
        {
            NameType(attribute);
        }

        if (attribute.RefAttrName.Length == 0)
        {
            NameDefault(attribute);
        }

        Tensor(attribute.T, folder);
        Graph(attribute.G, folder);
        Sparse(attribute.SparseTensor, folder);
        foreach (TensorProto t in attribute.Tensors)
        {
            Tensor(t, folder);
        }

        foreach (GraphProto g in attribute.Graphs)
        {
            Graph(g, folder);
        }

        foreach (SparseTensorProto s in attribute.SparseTensors)
        {
            Sparse(s, folder);
        }
    }

    /// <summary>The importer writes the type of an attribute that has none; the meaning is the same.</summary>
    private static void NameType(AttributeProto a)
    {
        (bool Present, Kind Kind)[] fields =
        [
            (a.HasF, Kind.Float), (a.HasI, Kind.Int), (a.HasS, Kind.String), (a.T is not null, Kind.Tensor), (a.G is not null, Kind.Graph), (a.SparseTensor is not null, Kind.SparseTensor),
            (a.Floats.Count > 0, Kind.Floats), (a.Ints.Count > 0, Kind.Ints), (a.Strings.Count > 0, Kind.Strings), (a.Tensors.Count > 0, Kind.Tensors), (a.Graphs.Count > 0, Kind.Graphs), (a.SparseTensors.Count > 0, Kind.SparseTensors),
        ];
        if (Array.Find(fields, f => f.Present) is { Present: true } field)
        {
            a.Type = field.Kind;
        }
    }

    /// <summary>Serialisers of protobuf 3 leave out zeros; the exporter writes them.</summary>
    private static void NameDefault(AttributeProto a)
    {
        switch (a.Type)
        {
            case Kind.Float when !a.HasF:
                a.F = 0;
                break;
            case Kind.Int when !a.HasI:
                a.I = 0;
                break;
            case Kind.String when !a.HasS:
                a.S = ByteString.Empty;
                break;
        }
    }

    private static void Sparse(SparseTensorProto? sparse, string folder)
    {
        if (sparse is not null)
        {
            Tensor(sparse.Values, folder);
            Tensor(sparse.Indices, folder);
        }
    }

    private static void Tensor(TensorProto? tensor, string folder)
    {
        if (tensor is null)
        {
            return;
        }

        byte[] bytes = (DataType)tensor.DataType == DataType.String
            ? Encoding.UTF8.GetBytes(string.Join('|', tensor.StringData.Select(s => s.ToBase64())))
            : Bytes(tensor, folder);
        bool external = tensor.DataLocation == TensorProto.Types.DataLocation.External;
        tensor.FloatData.Clear();
        tensor.Int32Data.Clear();
        tensor.Int64Data.Clear();
        tensor.StringData.Clear();
        tensor.DoubleData.Clear();
        tensor.Uint64Data.Clear();
        if (external)
        {
            tensor.ExternalData.Clear();
        }

        tensor.ClearDataLocation();
        tensor.RawData = ByteString.CopyFrom(bytes);
    }
}
