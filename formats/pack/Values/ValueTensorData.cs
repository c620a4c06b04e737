using System.Buffers;

namespace ModelPack.Pack;

/// <summary>Dense bytes computed from values: rows are read, converted by a raw number format, and the asked bytes are copied out.</summary>
internal sealed class ValueTensorData : TensorData
{
    private const int StepValues = 64 << 10;

    private readonly IBoundNumberFormat _format;
    private readonly IValueReader _values;
    private readonly long _rowBytes;
    private readonly int _columns;

    /// <param name="format">Raw format bound to the tensor's shape.</param>
    /// <param name="values">The values.</param>
    /// <param name="lengthBytes">Dense length.</param>
    public ValueTensorData(IBoundNumberFormat format, IValueReader values, long lengthBytes)
        : base(lengthBytes)
    {
        _format = format;
        _values = RegroupedValueReader.Of(values, format.Shape);
        _rowBytes = format.Streams[0].BytesPerRow;
        _columns = checked((int)format.Shape.Columns);
    }

    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        int step = Math.Max(1, StepValues / _columns);
        long row = offsetBytes / _rowBytes;
        int skip = (int)(offsetBytes % _rowBytes);
        long last = (offsetBytes + destination.Length - 1) / _rowBytes;
        step = (int)Math.Min(step, last - row + 1);
        float[] values = ArrayPool<float>.Shared.Rent(step * _columns);
        byte[] bytes = ArrayPool<byte>.Shared.Rent(checked((int)(step * _rowBytes)));
        try
        {
            while (!destination.IsEmpty)
            {
                int rows = (int)Math.Min(step, last - row + 1);
                int length = (int)(rows * _rowBytes);
                _values.ReadRows(row, rows, values.AsSpan(0, rows * _columns));
                _format.EncodeRows(values.AsSpan(0, rows * _columns), rows, [bytes.AsMemory(0, length)]);
                int n = Math.Min(length - skip, destination.Length);
                bytes.AsSpan(skip, n).CopyTo(destination);
                destination = destination[n..];
                row += rows;
                skip = 0;
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(values);
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }
}
