using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using ModelPack.Kernels.MatMul;
using ModelPack.Runtime.Graphs;

namespace ModelPack.Runtime.Loading;

/// <summary>The smallest artifact with both kinds of weights, in memory: y = x + b, and a matrix in execution layout that nothing reads, so that no kernel is made for it. All weights are zeros.</summary>
internal sealed class TinyArtifact : IWeightSource
{
    private const int Columns = 32;

    private readonly Weight _bias = new(DenseEncoding.Raw(DType.F32, new Shape(Columns), TensorData.Empty));
    private readonly Weight _matrix = new(new DenseEncoding(UnitSpec.Parse("int8(block=32)"), new Shape(TileLayout.TileRows, Columns), []));

    public byte[]? Identity => null;

    /// <summary>Bytes of the matrix in execution layout.</summary>
    private long TileBytes
    {
        get
        {
            using MatMulWeight weight = MatMulWeight.TryCreate(_matrix.Encoding)!;
            return PackedMatrix.Bytes(weight);
        }
    }

    public TensorData? Blob(string name) => TensorData.FromBytes(name == "plan" ? Plan() : Graph());

    public IStoredWeight? Find(string tensor) => tensor == "b" ? _bias : _matrix;

    private byte[] Plan() => Encoding.UTF8.GetBytes(
        $$"""
        {"version":1,"target":"generic","bindings":[
        {"initializer":"b","tensor":"b","dtype":"f32","shape":[{{Columns}}]},
        {"initializer":"w","tensor":"w","role":"{{InitializerBinding.Tiles}}","dtype":"u8","shape":[{{TileBytes.ToString(CultureInfo.InvariantCulture)}}]}],
        "nodes":[{"node":"n","op":"Add","kernel":"expand","tensor":"b","alternatives":[{"kernel":"none","reason":"none"}]}]}
        """);

    private byte[] Graph()
    {
        var node = new ProtoBuffer(32);
        node.Bytes(1, "x"u8);
        node.Bytes(1, "b"u8);
        node.Bytes(2, "y"u8);
        node.Bytes(4, "Add"u8);
        var graph = new ProtoBuffer(256);
        graph.Bytes(1, node.Written);
        graph.Bytes(2, "g"u8);
        graph.Bytes(5, Initializer("b"u8, 1, Columns).Written);
        graph.Bytes(5, Initializer("w"u8, 2, (ulong)TileBytes).Written);
        graph.Bytes(11, Value("x"u8).Written);
        graph.Bytes(12, Value("y"u8).Written);
        var opset = new ProtoBuffer(16);
        opset.Varint(2, 13);
        var model = new ProtoBuffer(512);
        model.Varint(1, 7);
        model.Bytes(7, graph.Written);
        model.Bytes(8, opset.Written);
        return model.ToArray();
    }

    /// <summary>An external TensorProto of one dimension.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="type">TensorProto.DataType.</param>
    /// <param name="length">Its only dimension.</param>
    private static ProtoBuffer Initializer(ReadOnlySpan<byte> name, ulong type, ulong length)
    {
        var tensor = new ProtoBuffer(64);
        tensor.Varint(1, length);
        tensor.Varint(2, type);
        tensor.Bytes(8, name);
        tensor.Varint(14, 1);
        return tensor;
    }

    /// <summary>A ValueInfoProto: f32[32].</summary>
    private static ProtoBuffer Value(ReadOnlySpan<byte> name)
    {
        var dim = new ProtoBuffer(16);
        dim.Varint(1, Columns);
        var shape = new ProtoBuffer(16);
        shape.Bytes(1, dim.Written);
        var tensor = new ProtoBuffer(32);
        tensor.Varint(1, 1);
        tensor.Bytes(2, shape.Written);
        var type = new ProtoBuffer(32);
        type.Bytes(1, tensor.Written);
        var value = new ProtoBuffer(64);
        value.Bytes(1, name);
        value.Bytes(2, type.Written);
        return value;
    }

    private sealed class Weight(DenseEncoding encoding) : IStoredWeight
    {
        public DenseEncoding Encoding => encoding;

        public DType DType => DType.F32;

        public Shape Shape => encoding.Shape;

        public DenseEncoding? Matrix => encoding.Shape.Rank == 2 ? encoding : null;

        public StructuredEncoding? Sparse => null;

        public void ReadDense(DType target, nint destination, long lengthBytes, int threads) => Clear(destination, lengthBytes);

        public (DType DType, long LengthBytes)? Stream(string role)
        {
            foreach (StreamLayout stream in Numbers.NumberFormats.Bind(encoding.Format, encoding.Shape).Streams)
            {
                if (stream.Role == role)
                {
                    return (stream.ElementType, stream.BytesPerRow * encoding.Shape.Rows);
                }
            }

            return null;
        }

        public void ReadStream(string role, nint destination, long lengthBytes, int threads) => Clear(destination, lengthBytes);

        private static unsafe void Clear(nint destination, long lengthBytes) => NativeMemory.Clear((void*)destination, (nuint)lengthBytes);
    }
}
