using System.Runtime.InteropServices;

namespace ModelPack.Pack;

/// <summary>Pulls the values of a pending encoding through its number format, whole rows at a time, and measures what that costs in accuracy.</summary>
internal sealed class QuantizeJob(string owner, StreamPlan[] streams, IBoundNumberFormat format, WeightEncoding encoded, long rowsPerTile, CodecPolicy policy)
    : EncodeJob(owner, streams, policy)
{
    /// <summary>Values worked on at once: large enough to read column panels well, small enough for the cache.</summary>
    private const int ValuesPerStep = 256 << 10;

    private readonly Lock _lock = new();
    private IValueReader? _source;
    private readonly long _rows = format.Shape.Rows;
    private readonly long _columns = format.Shape.Columns;

    public override long TileCount => Streams.Max(s => s.ChunkCount);

    public override long ScratchBytes => 2 * RowsPerStep * _columns * sizeof(float);

    private long RowsPerStep => Math.Min(Math.Min(rowsPerTile, _rows), Math.Max(1, ValuesPerStep / Math.Max(1, _columns)));

    public override string Identity(Func<TensorData, string> content) => $"{format.Spec}{format.Shape} < {ContentIdentity.Text(encoded, content)}";

    public override void Produce(long tile, ReadOnlySpan<Memory<byte>> raw, BufferPool pool, ref ErrorSums errors)
    {
        IValueReader source = Source();
        long first = tile * rowsPerTile;
        int rows = (int)Math.Min(rowsPerTile, _rows - first);
        int step = (int)RowsPerStep;
        NativeBuffer values = pool.Rent(checked((int)(step * _columns * sizeof(float))));
        NativeBuffer decoded = pool.Rent(values.CapacityBytes);
        var part = new Memory<byte>[Streams.Length];
        var readOnly = new ReadOnlyMemory<byte>[Streams.Length];
        try
        {
            for (int r = 0; r < rows; r += step)
            {
                int n = Math.Min(step, rows - r);
                for (int s = 0; s < part.Length; s++)
                {
                    int perRow = (int)format.Streams[s].BytesPerRow;
                    part[s] = raw[s].Slice(r * perRow, n * perRow);
                    readOnly[s] = part[s];
                }

                Span<float> w = Floats(values, n);
                Span<float> d = Floats(decoded, n);
                source.ReadRows(first + r, n, w);
                format.EncodeRows(w, n, part);
                format.DecodeRows(readOnly, n, d);
                errors.Add(w, d);
            }
        }
        finally
        {
            pool.Return(values);
            pool.Return(decoded);
        }
    }

    public override void Release() => _source = null;

    protected override List<byte[]>[] Sample()
    {
        IValueReader source = Source();
        var samples = new List<byte[]>[Streams.Length];
        long widest = 1;
        for (int s = 0; s < samples.Length; s++)
        {
            samples[s] = [];
            widest = Math.Max(widest, format.Streams[s].BytesPerRow);
        }

        // Short pieces of a short tensor: sampling must not cost more than a quarter of the encoding.
        long rows = Math.Clamp(Math.Min(CodecChooser.SampleBytes / widest, _rows / (4 * CodecChooser.SampleCount)), 1, _rows);
        int pieces = (int)Math.Min(CodecChooser.SampleCount, _rows / rows);
        float[] values = new float[rows * _columns];
        for (int i = 0; i < pieces; i++)
        {
            long first = pieces == 1 ? 0 : (_rows - rows) / (pieces - 1) * i;
            source.ReadRows(first, (int)rows, values);
            var encoded = new Memory<byte>[samples.Length];
            for (int s = 0; s < samples.Length; s++)
            {
                byte[] piece = new byte[rows * format.Streams[s].BytesPerRow];
                samples[s].Add(piece);
                encoded[s] = piece;
            }

            format.EncodeRows(values, (int)rows, encoded);
        }

        return samples;
    }

    /// <summary>The reader, opened when first needed and dropped with the job: readers may keep megabytes of what they read.</summary>
    private IValueReader Source()
    {
        lock (_lock)
        {
            return _source ??= RegroupedValueReader.Of(EncodingValues.Open(encoded), format.Shape);
        }
    }

    private Span<float> Floats(NativeBuffer buffer, int rows) =>
        MemoryMarshal.Cast<byte, float>(buffer.GetSpan())[..(int)(rows * _columns)];
}
