namespace ModelPack.Pack;

/// <summary>A stream to be written, and after writing where it lies.</summary>
internal sealed class StreamPlan(string name, DType elementType, long rawBytes, int chunkBytes)
{
    /// <summary>Name in the safetensors header.</summary>
    public string Name { get; } = name;

    public DType ElementType { get; } = elementType;

    public long RawBytes { get; } = rawBytes;

    /// <summary>Decoded bytes of every chunk but the last.</summary>
    public int ChunkBytes { get; } = chunkBytes;

    public long ChunkCount => RawBytes == 0 ? 0 : ((RawBytes - 1) / ChunkBytes) + 1;

    /// <summary>Position among the streams of the artifact; set when the order is fixed.</summary>
    public int Index { get; set; } = -1;

    /// <summary>Chunk records in order, filled while writing.</summary>
    public List<ChunkRecord> Chunks { get; } = [];

    /// <summary>Start in the file, set when writing begins.</summary>
    public long BeginBytes { get; set; }

    public long StoredBytes { get; set; }

    public int RawLength(long chunk) => (int)Math.Min(ChunkBytes, RawBytes - (chunk * ChunkBytes));
}
