namespace ModelPack.Numbers;

/// <summary>An integer block format on a shape: checks buffers and values, then runs the kernel row by row.</summary>
internal sealed class BoundIntBlockFormat : IBoundNumberFormat
{
    private readonly SimdTier _tier;

    public BoundIntBlockFormat(Shape shape, IntBlockLayout layout, UnitSpec spec, SimdTier tier)
    {
        Shape = shape;
        Layout = layout;
        Spec = spec;
        _tier = tier;
        var codes = new StreamLayout("codes", layout.CodeBytesPerRow, DType.U8);
        var scales = new StreamLayout("scales", layout.ScaleBytesPerRow, layout.Scale);
        Streams = layout.Symmetric ? [codes, scales] : [codes, scales, new StreamLayout("zero-points", layout.ZeroPointBytesPerRow, DType.U8)];
        long bytes = (long)layout.CodeBytesPerRow + layout.ScaleBytesPerRow + layout.ZeroPointBytesPerRow;
        BitsPerValue = layout.Columns == 0 ? layout.Bits : 8.0 * bytes / layout.Columns;
    }

    public UnitSpec Spec { get; }

    public Shape Shape { get; }

    public IntBlockLayout Layout { get; }

    public IReadOnlyList<StreamLayout> Streams { get; }

    public double BitsPerValue { get; }

    public void EncodeRows(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        CheckCounts(values.Length, rows, streams.Length);
        for (int s = 0; s < streams.Length; s++)
        {
            CheckLength(s, rows, streams[s].Length);
        }

        IntBlockLayout layout = Layout;
        Span<byte> codes = streams[0].Span;
        Span<byte> scales = streams[1].Span;
        Span<byte> zeroPoints = layout.Symmetric ? default : streams[2].Span;
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<float> row = values.Slice(r * layout.Columns, layout.Columns);
            int bad = IntBlockRow.Encode(
                row,
                layout,
                codes.Slice(r * layout.CodeBytesPerRow, layout.CodeBytesPerRow),
                scales.Slice(r * layout.ScaleBytesPerRow, layout.ScaleBytesPerRow),
                zeroPoints.Slice(r * layout.ZeroPointBytesPerRow, layout.ZeroPointBytesPerRow),
                _tier);
            if (bad >= 0)
            {
                throw NotFinite(row, bad, r);
            }
        }
    }

    public void DecodeRows(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
    {
        CheckCounts(values.Length, rows, streams.Length);
        for (int s = 0; s < streams.Length; s++)
        {
            CheckLength(s, rows, streams[s].Length);
        }

        IntBlockLayout layout = Layout;
        ReadOnlySpan<byte> codes = streams[0].Span;
        ReadOnlySpan<byte> scales = streams[1].Span;
        ReadOnlySpan<byte> zeroPoints = layout.Symmetric ? default : streams[2].Span;
        CheckScales(scales, rows * layout.BlockCount);
        for (int r = 0; r < rows; r++)
        {
            IntBlockRow.Decode(
                codes.Slice(r * layout.CodeBytesPerRow, layout.CodeBytesPerRow),
                scales.Slice(r * layout.ScaleBytesPerRow, layout.ScaleBytesPerRow),
                zeroPoints.Slice(r * layout.ZeroPointBytesPerRow, layout.ZeroPointBytesPerRow),
                layout,
                values.Slice(r * layout.Columns, layout.Columns),
                _tier);
        }
    }

    /// <summary>Every code has a value, so only scales can be wrong: NaN and infinity are never written.</summary>
    private void CheckScales(ReadOnlySpan<byte> scales, int count)
    {
        for (int i = 0; i < count; i++)
        {
            if (!float.IsFinite(ScaleType.Read(scales, i, Layout.Scale)))
            {
                throw new ModelPackException(ErrorCodes.BadStream, $"'{Spec.Id}': the scale of block {i % Layout.BlockCount} in row {i / Layout.BlockCount} of the tile is not finite");
            }
        }
    }

    private ModelPackException NotFinite(ReadOnlySpan<float> row, int from, int rowIndex)
    {
        int column = from;
        while (float.IsFinite(row[column]))
        {
            column++;
        }

        return new ModelPackException(
            ErrorCodes.UnrepresentableValue,
            FormattableString.Invariant($"value {row[column]} at row {rowIndex}, column {column} of the tile cannot be stored as {Spec.Id}"));
    }

    private void CheckCounts(int valueCount, int rows, int streamCount)
    {
        if (rows < 0 || streamCount != Streams.Count || valueCount != (long)rows * Layout.Columns)
        {
            throw new ArgumentException($"{Spec}: {rows} rows of {Shape} need {(long)rows * Layout.Columns} values in {Streams.Count} streams, not {valueCount} in {streamCount}");
        }
    }

    private void CheckLength(int stream, int rows, int length)
    {
        if (length != rows * Streams[stream].BytesPerRow)
        {
            throw new ArgumentException($"{Spec}: stream '{Streams[stream].Role}' of {rows} rows needs {rows * Streams[stream].BytesPerRow} bytes, not {length}");
        }
    }
}
