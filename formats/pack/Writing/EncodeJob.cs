namespace ModelPack.Pack;

/// <summary>
/// The work of storing one set of streams that is produced together: a stream that is copied, or a tensor that is encoded. Tiles are independent; tile t gives
/// chunk t of every stream.
/// </summary>
internal abstract class EncodeJob
{
    private readonly Lazy<ICodec?[]> _codecs;

    protected EncodeJob(string owner, StreamPlan[] streams, CodecPolicy policy)
    {
        Owner = owner;
        Streams = streams;
        _codecs = new Lazy<ICodec?[]>(() => ChooseCodecs(policy));
    }

    /// <summary>The tensor or blob this is for: for messages and progress.</summary>
    public string Owner { get; }

    public StreamPlan[] Streams { get; }

    public abstract long TileCount { get; }

    /// <summary>An interrupted write has written it: its streams know where they lie.</summary>
    public bool IsKept { get; set; }

    /// <summary>Bytes needed besides the streams' buffers while a tile is worked on.</summary>
    public abstract long ScratchBytes { get; }

    /// <summary>The most bytes that one tile holds until it is written: its streams raw and coded.</summary>
    public long ResultBytes => Streams.Sum(s => 2L * Math.Min(s.ChunkBytes, s.RawBytes));

    /// <summary>The codec of every stream, null for stored; decided from samples by whichever worker asks first, always with the same outcome.</summary>
    public ICodec?[] Codecs => _codecs.Value;

    /// <summary>Text that is equal exactly for jobs that make the same bytes, in every process.</summary>
    /// <param name="content">Identifies bytes.</param>
    public abstract string Identity(Func<TensorData, string> content);

    /// <summary>Fills the raw bytes of tile <paramref name="tile"/>: one buffer per stream, each exactly as long as its chunk.</summary>
    public abstract void Produce(long tile, ReadOnlySpan<Memory<byte>> raw, BufferPool pool, ref ErrorSums errors);

    /// <summary>Called when the last tile is written: lets go of what was opened.</summary>
    public virtual void Release()
    {
    }

    /// <summary>A few short pieces of every stream, evenly spaced, the same on every run.</summary>
    protected abstract List<byte[]>[] Sample();

    /// <summary>A codec to try besides those for the element type.</summary>
    protected virtual ICodec? Special => null;

    private ICodec?[] ChooseCodecs(CodecPolicy policy)
    {
        List<byte[]>[] samples = Sample();
        var codecs = new ICodec?[Streams.Length];
        for (int s = 0; s < codecs.Length; s++)
        {
            codecs[s] = Streams[s].RawLength(0) > PackLayout.MaxCodedChunkBytes ? null : CodecChooser.Choose(policy, Streams[s].ElementType, Streams[s].RawBytes, samples[s], Special);
        }

        return codecs;
    }
}
