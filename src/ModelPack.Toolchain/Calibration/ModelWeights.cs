using ModelPack.Compiler;
using ModelPack.Pack;
using ModelPack.Runtime.Loading;

namespace ModelPack.Toolchain;

/// <summary>Weights of a model in memory as a source for the runtime: decoded straight from where they lie, pending encodings giving what the artifact will hold.</summary>
/// <param name="graph">The graph that declares them external.</param>
/// <param name="tensors">The weights by name.</param>
internal sealed class ModelWeights(byte[] graph, IReadOnlyDictionary<string, Tensor> tensors) : IWeightSource
{
    public byte[]? Identity => null;

    public TensorData? Blob(string name) => name == "graph" ? TensorData.FromBytes(graph) : null;

    public IStoredWeight? Find(string tensor) => tensors.TryGetValue(tensor, out Tensor? found) ? new Weight(found) : null;

    private sealed class Weight(Tensor tensor) : IStoredWeight
    {
        public DType DType => tensor.DType;

        public Shape Shape => tensor.Shape;

        public DenseEncoding? Matrix => null;

        public StructuredEncoding? Sparse => null;

        public unsafe void ReadDense(DType target, nint destination, long lengthBytes, int threads)
        {
            const int step = 16 << 20;
            TensorData data = DenseTensorData.Of(target, tensor.Encoding);
            for (long offset = 0; offset < lengthBytes; offset += step)
            {
                data.Read(offset, new Span<byte>((byte*)destination + offset, (int)Math.Min(step, lengthBytes - offset)));
            }
        }

        public (DType DType, long LengthBytes)? Stream(string role) => null;

        public void ReadStream(string role, nint destination, long lengthBytes, int threads) => throw new NotSupportedException();
    }
}
