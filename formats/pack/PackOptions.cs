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

    /// <summary>
    /// What the bytes depend on beside content and level (the tool's version), and that a write that is interrupted leaves its finished tensors and a journal beside the output, from which the next write of that path goes on: to the same bytes.
    /// What does not fit any more is written again. Null: nothing is left.
    /// </summary>
    public string? Resume { get; init; }

    /// <summary>Called from the writing thread after every tile.</summary>
    public IProgress<PackProgress>? Progress { get; init; }

    /// <summary>Checked at least once per tile. A cancelled write leaves nothing behind but what <see cref="Resume"/> asks for.</summary>
    public CancellationToken Cancellation { get; init; }
}

/// <summary>How far a write or a verification has come.</summary>
/// <param name="BytesDone">Bytes of decoded streams done.</param>
/// <param name="BytesTotal">Bytes of decoded streams in all.</param>
/// <param name="Tensor">The tensor or blob being worked on.</param>
public readonly record struct PackProgress(long BytesDone, long BytesTotal, string Tensor);
