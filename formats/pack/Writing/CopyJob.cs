using ModelPack.Codecs;

namespace ModelPack.Pack;

/// <summary>Stores bytes as they come: raw tensors, streams that are encoded already, blobs.</summary>
internal sealed class CopyJob(string owner, StreamPlan stream, TensorData source, CodecPolicy policy, RecordLayout? records = null) : EncodeJob(owner, [stream], policy)
{
    public override long TileCount => Streams[0].ChunkCount;

    public override long ScratchBytes => 0;

    public override string Identity(Func<TensorData, string> content) => content(source);

    public override void Produce(long tile, ReadOnlySpan<Memory<byte>> raw, BufferPool pool, ref ErrorSums errors) =>
        source.Read(tile * Streams[0].ChunkBytes, raw[0].Span);

    /// <summary>A few short pieces, evenly spaced, the same on every run.</summary>
    public static List<byte[]> SampleOf(TensorData source, int unit = 64)
    {
        const int whole = CodecChooser.SampleBytes * CodecChooser.SampleCount;
        long length = source.LengthBytes;
        var pieces = new List<byte[]>();
        if (length <= whole)
        {
            pieces.Add(source.ToArray(whole));
            return pieces;
        }

        for (int i = 0; i < CodecChooser.SampleCount; i++)
        {
            // Aligned so that elements, or records, stay whole.
            byte[] piece = new byte[CodecChooser.SampleBytes / unit * unit];
            long at = (length - CodecChooser.SampleBytes) / (CodecChooser.SampleCount - 1) * i / unit * unit;
            source.Read(at, piece);
            pieces.Add(piece);
        }

        return pieces;
    }

    protected override List<byte[]>[] Sample() => [SampleOf(source, records?.RecordBytes ?? 64)];

    protected override ICodec? Special => records is null ? null : new RecordsCodec(records);
}
