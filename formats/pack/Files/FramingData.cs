namespace ModelPack.Pack;

/// <summary>All bytes of a file that belong to no tensor, one after the other.</summary>
internal sealed class FramingData : TensorData
{
    private readonly MappedFile _file;

    /// <summary>Per gap: where it starts among the framing bytes, and where in the file.</summary>
    private readonly long[] _starts;
    private readonly long[] _offsets;

    public FramingData(PackedFileSource source)
        : base(source.File.LengthBytes - source.Ranges.Sum(r => r.LengthBytes))
    {
        _file = source.File;
        _starts = new long[source.Ranges.Count + 1];
        _offsets = new long[source.Ranges.Count + 1];
        for (int i = 0; i < source.Ranges.Count; i++)
        {
            PackedFileRange range = source.Ranges[i];
            _starts[i + 1] = _starts[i] + (range.OffsetBytes - _offsets[i]);
            _offsets[i + 1] = range.OffsetBytes + range.LengthBytes;
        }
    }

    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        // The last gap that starts at or before the offset: empty gaps share their start with the next one.
        int gap = 0;
        int high = _starts.Length - 1;
        while (gap < high)
        {
            int middle = (gap + high + 1) / 2;
            (gap, high) = _starts[middle] <= offsetBytes ? (middle, high) : (gap, middle - 1);
        }

        while (!destination.IsEmpty)
        {
            long end = gap + 1 < _starts.Length ? _starts[gap + 1] : LengthBytes;
            int n = (int)Math.Min(destination.Length, end - offsetBytes);
            _file.Read(_offsets[gap] + (offsetBytes - _starts[gap]), destination[..n]);
            destination = destination[n..];
            offsetBytes += n;
            gap++;
        }
    }
}
