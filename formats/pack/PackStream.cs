namespace ModelPack.Pack;

/// <summary>A stored stream of an opened artifact.</summary>
public sealed unsafe class PackStream
{
    private readonly PackReader _reader;

    internal PackStream(PackReader reader, int index, string name, DType elementType, long lengthBytes, int chunkBytes)
    {
        _reader = reader;
        Index = index;
        Name = name;
        ElementType = elementType;
        LengthBytes = lengthBytes;
        ChunkBytes = chunkBytes;
        Data = lengthBytes == 0 ? TensorData.Empty : new ChunkedTensorData(reader, this);
    }

    /// <summary>Name in the safetensors header: <c>tensor#role</c> or <c>mpk.blob</c>.</summary>
    public string Name { get; }

    /// <summary>What the bytes are.</summary>
    public DType ElementType { get; }

    /// <summary>Length after decoding.</summary>
    public long LengthBytes { get; }

    /// <summary>Bytes in the artifact, without padding.</summary>
    public long StoredBytes { get; internal set; }

    /// <summary>Decoded length of every chunk but the last.</summary>
    public int ChunkBytes { get; }

    /// <summary>Number of chunks; 0 for an empty stream.</summary>
    public long ChunkCount => LengthBytes == 0 ? 0 : ((LengthBytes - 1) / ChunkBytes) + 1;

    /// <summary>The codec most of its chunks use; <c>stored</c> for none.</summary>
    public string Codec { get; internal set; } = "stored";

    /// <summary>True when all chunks are stored as they are: the stream is one range of the file.</summary>
    public bool IsStored { get; internal set; } = true;

    /// <summary>The decoded bytes: read and verified chunk by chunk when asked for.</summary>
    public TensorData Data { get; }

    internal int Index { get; }

    internal long FirstChunk { get; set; }

    /// <summary>Start in the file, when there are bytes.</summary>
    internal long BeginBytes { get; set; }

    /// <summary>
    /// Gives the bytes in the mapped file without a copy, when the stream is stored. All of them are verified on first use.
    /// </summary>
    /// <param name="pointer">Start of <see cref="LengthBytes"/> bytes at an address that is a multiple of 64; valid while the reader is not disposed.</param>
    /// <returns>False when the stream is coded or empty.</returns>
    /// <exception cref="ModelPackException">MP1309: the stored bytes are damaged.</exception>
    public bool TryGetMapped(out nint pointer)
    {
        pointer = 0;
        if (!IsStored || LengthBytes == 0)
        {
            return false;
        }

        for (long chunk = 0; chunk < ChunkCount; chunk++)
        {
            _reader.VerifyMapped(this, chunk);
        }

        pointer = (nint)(_reader.File.Pointer + BeginBytes);
        return true;
    }

    internal int RawLength(long chunk) => (int)Math.Min(ChunkBytes, LengthBytes - (chunk * ChunkBytes));
}
