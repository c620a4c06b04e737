using System.Runtime.InteropServices;
using ModelPack.Runtime.Loading;
using Xunit;

namespace ModelPack.Tests.Runtime;

/// <summary>An artifact in memory: what the runtime sees of one, without the file.</summary>
internal sealed class FakeArtifact : IWeightSource
{
    private readonly Dictionary<string, FakeWeight> _weights = [];

    public byte[]? Identity { get; init; }

    public Dictionary<string, byte[]> Blobs { get; } = [];

    public FakeArtifact Graph(byte[] model, params InitializerBinding[] bindings)
    {
        Blobs["execution-graph"] = model;
        Blobs["plan"] = ExecutionPlanJson.Write(new ExecutionPlan("generic", [.. bindings], []));
        return this;
    }

    public FakeArtifact Tensor<T>(string name, DType dtype, T[] values, params long[] shape)
        where T : unmanaged
    {
        _weights[name] = new FakeWeight(dtype, new Shape(shape), MemoryMarshal.AsBytes(values.AsSpan()).ToArray());
        return this;
    }

    /// <summary>Adds a stream to a tensor, made when it is new.</summary>
    public FakeArtifact Stream<T>(string name, string role, DType dtype, T[] values)
        where T : unmanaged
    {
        if (!_weights.TryGetValue(name, out FakeWeight? weight))
        {
            _weights[name] = weight = new FakeWeight(DType.F32, Shape.Scalar, new byte[4]);
        }

        weight.Streams[role] = (dtype, MemoryMarshal.AsBytes(values.AsSpan()).ToArray());
        return this;
    }

    /// <summary>Says that a tensor, added before, is a stored matrix.</summary>
    public FakeArtifact Matrix(string name, DenseEncoding matrix)
    {
        _weights[name].Matrix = matrix;
        return this;
    }

    public TensorData? Blob(string name) => Blobs.TryGetValue(name, out byte[]? bytes) ? TensorData.FromBytes(bytes) : null;

    public IStoredWeight? Find(string tensor) => _weights.GetValueOrDefault(tensor);

    private sealed class FakeWeight(DType dtype, Shape shape, byte[] values) : IStoredWeight
    {
        public Dictionary<string, (DType DType, byte[] Bytes)> Streams { get; } = [];

        public DType DType => dtype;

        public DenseEncoding? Matrix { get; set; }

        public StructuredEncoding? Sparse => null;

        public Shape Shape => shape;

        public void ReadDense(DType target, nint destination, long lengthBytes, int threads) => Copy(values, destination, lengthBytes);

        public (DType DType, long LengthBytes)? Stream(string role) =>
            Streams.TryGetValue(role, out (DType DType, byte[] Bytes) s) ? (s.DType, s.Bytes.Length) : null;

        public void ReadStream(string role, nint destination, long lengthBytes, int threads) => Copy(Streams[role].Bytes, destination, lengthBytes);

        private static void Copy(byte[] bytes, nint destination, long lengthBytes)
        {
            Assert.Equal(bytes.Length, lengthBytes);
            Marshal.Copy(bytes, 0, destination, bytes.Length);
        }
    }
}
