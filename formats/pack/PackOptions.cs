using ModelPack.Codecs;

namespace ModelPack.Pack;

/// <summary>How to write an artifact. Nothing here but <see cref="Level"/> and <see cref="Portable"/> changes its bytes.</summary>
public sealed record PackOptions
{
    /// <summary>Worker threads; at least 1.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>Bytes of buffers that may be held at once.</summary>
    public long MaxMemoryBytes { get; init; } = 1L << 30;

    /// <summary>How hard the lossless codecs try.</summary>
    public CodecLevel Level { get; init; } = CodecLevel.Default;

    /// <summary>
    /// Only codecs that decode fast on every machine. The rANS codecs, smaller and the fastest where there is AVX-512 with VBMI2, decode several times slower elsewhere.
    /// </summary>
    public bool Portable { get; init; }

    /// <summary>Called from the writing thread after every tile.</summary>
    public IProgress<PackProgress>? Progress { get; init; }

    /// <summary>Checked at least once per tile. A cancelled write leaves nothing behind.</summary>
    public CancellationToken Cancellation { get; init; }
}

/// <summary>How far a write or a verification has come.</summary>
/// <param name="BytesDone">Bytes of decoded streams done.</param>
/// <param name="BytesTotal">Bytes of decoded streams in all.</param>
/// <param name="Tensor">The tensor or blob being worked on.</param>
public readonly record struct PackProgress(long BytesDone, long BytesTotal, string Tensor);
