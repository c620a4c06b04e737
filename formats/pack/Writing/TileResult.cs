using System.Runtime.ExceptionServices;

namespace ModelPack.Pack;

/// <summary>A finished tile, waiting for its turn to be written.</summary>
internal sealed class TileResult(EncodeJob job, long tile, long heldBytes)
{
    public EncodeJob Job { get; } = job;

    public long Tile { get; } = tile;

    /// <summary>Bytes admitted for it, given back when it is written.</summary>
    public long HeldBytes { get; } = heldBytes;

    /// <summary>Per stream: the buffer, how much of it counts, and the record without its offset.</summary>
    public (NativeBuffer Buffer, ChunkRecord Record)[] Chunks { get; } = new (NativeBuffer, ChunkRecord)[job.Streams.Length];

    public ErrorSums Errors { get; set; }

    /// <summary>What went wrong instead.</summary>
    public ExceptionDispatchInfo? Failure { get; set; }
}
