namespace ModelPack.Numbers;

/// <summary>A raw format on a shape: checks lengths and values, then runs <see cref="RawDecoder"/> or <see cref="RawEncoder"/>.</summary>
internal sealed class BoundRawFormat : IBoundNumberFormat
{
    private readonly long _bytesPerRow;

    public BoundRawFormat(DType dtype, Shape shape)
    {
        DType = dtype;
        Shape = shape;
        Spec = new UnitSpec(dtype.Name());
        _bytesPerRow = dtype.HasFixedWidth() ? dtype.StorageBytes(shape.Columns) : StreamLayout.VariableLength;
        Streams = [new StreamLayout("values", _bytesPerRow, dtype)];
    }

    public DType DType { get; }

    public UnitSpec Spec { get; }

    public Shape Shape { get; }

    public IReadOnlyList<StreamLayout> Streams { get; }

    public double BitsPerValue => DType.BitsPerElement();

    public void EncodeRows(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        CheckReal();
        Check(values.Length, rows, streams.Length, streams.IsEmpty ? 0 : streams[0].Length);
        int bad = RawEncoder.FirstUnrepresentable(DType, values);
        if (bad >= 0)
        {
            throw new ModelPackException(
                ErrorCodes.UnrepresentableValue,
                FormattableString.Invariant($"value {values[bad]} at row {bad / Shape.Columns}, column {bad % Shape.Columns} of the tile cannot be stored as {Spec}"));
        }

        RawEncoder.Encode(DType, values, streams[0].Span);
    }

    public void DecodeRows(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
    {
        CheckReal();
        Check(values.Length, rows, streams.Length, streams.IsEmpty ? 0 : streams[0].Length);
        RawDecoder.Decode(DType, streams[0].Span, 0, values);
    }

    private void CheckReal()
    {
        if (!RawDecoder.IsReal(DType))
        {
            throw new ModelPackException(ErrorCodes.OpaqueValues, $"elements of type {Spec} cannot be read as real numbers");
        }
    }

    private void Check(int valueCount, int rows, int streamCount, int streamLength)
    {
        if (streamCount != 1 || valueCount != (long)rows * Shape.Columns || streamLength != rows * _bytesPerRow)
        {
            throw new ArgumentException($"{Spec}: {rows} rows of {Shape} need {(long)rows * Shape.Columns} values and {rows * _bytesPerRow} bytes, not {valueCount} and {streamLength}");
        }
    }
}
