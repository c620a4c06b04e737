using ModelPack.Pack;

namespace ModelPack.Runtime.Loading;

/// <summary>An artifact on disk as a source of weights.</summary>
internal sealed class PackSource(PackReader reader) : IWeightSource
{
    public byte[]? Identity => reader.Identity();

    public TensorData? Blob(string name) => reader.Blobs.GetValueOrDefault(name);

    public IStoredWeight? Find(string tensor) => reader.Find(tensor) is PackTensor found ? new StoredWeight(reader, found) : null;

    private sealed class StoredWeight(PackReader reader, PackTensor tensor) : IStoredWeight
    {
        public DType DType => tensor.DType;

        public Shape Shape => tensor.Shape;

        public DenseEncoding? Matrix => tensor.Encoding switch
        {
            DenseEncoding { Shape.Rank: 2 } dense => dense,
            StructuredEncoding { Structure.Id: "permuted" or "reshaped", Components: [DenseEncoding { Shape.Rank: 2 } dense] } => dense,
            _ => null,
        };

        public StructuredEncoding? Sparse => tensor.Encoding switch
        {
            StructuredEncoding { Structure.Id: "blocksparse" or "nm" or "bankbalanced" or "bitmap" } sparse => sparse,
            StructuredEncoding { Structure.Id: "permuted", Components: [StructuredEncoding { Structure.Id: "blocksparse" or "nm" or "bankbalanced" or "bitmap" } sparse] } => sparse,
            _ => null,
        };

        public void ReadDense(DType target, nint destination, long lengthBytes, int threads) =>
            reader.DecodeDense(tensor, target, destination, lengthBytes, threads);

        public (DType DType, long LengthBytes)? Stream(string role) =>
            Single(role) is PackStream stream ? (stream.ElementType, stream.LengthBytes) : null;

        public void ReadStream(string role, nint destination, long lengthBytes, int threads) =>
            reader.ReadStream(Single(role)!, destination, lengthBytes, threads);

        public long PartBytes(string role) => Single(role)?.ChunkBytes ?? 0;

        public void ReadParts(string role, long first, long count, nint destination, int threads) => reader.ReadChunks(Single(role)!, first, count, destination, threads);

        /// <summary>The stream of that role when there is exactly one: components of a structure may each have one of the same role.</summary>
        private PackStream? Single(string role)
        {
            PackStream? found = null;
            foreach (PackTensorStream stream in tensor.Streams)
            {
                if (stream.Role == role)
                {
                    if (found is not null)
                    {
                        return null;
                    }

                    found = stream.Stream;
                }
            }

            return found;
        }
    }
}
