using System.Buffers;

namespace ModelPack.Pack;

/// <summary>What a pending encoding will give back after writing: every tile is encoded and decoded again.</summary>
internal sealed class PendingValueReader(IBoundNumberFormat format, Shape shape, IValueReader source) : IValueReader
{
    public Shape Shape { get; } = shape;

    public void ReadRows(long firstRow, int rows, Span<float> destination)
    {
        destination = destination[..checked((int)(rows * Shape.Columns))];
        if (destination.IsEmpty)
        {
            return;
        }

        if (format.Shape == Shape)
        {
            RoundTrip(source, firstRow, rows, destination);
            return;
        }

        // Coded rows are several rows each, up to all of them: those that are touched are coded whole, and the wanted rows kept.
        long group = RegroupedValueReader.RowsPerRow(format.Shape, Shape);
        var regrouped = new RegroupedValueReader(source, format.Shape);
        int codedColumns = checked((int)format.Shape.Columns);
        float[] coded = ArrayPool<float>.Shared.Rent(codedColumns);
        try
        {
            long end = firstRow + rows;
            for (long row = firstRow; row < end;)
            {
                long next = Math.Min(end, ((row / group) + 1) * group);
                Span<float> values = coded.AsSpan(0, codedColumns);
                RoundTrip(regrouped, row / group, 1, values);
                values.Slice((int)(row % group * Shape.Columns), (int)((next - row) * Shape.Columns)).CopyTo(destination[(int)((row - firstRow) * Shape.Columns)..]);
                row = next;
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(coded);
        }
    }

    private void RoundTrip(IValueReader values, long firstRow, int rows, Span<float> destination)
    {
        int count = format.Streams.Count;
        var rented = new byte[count][];
        var parts = new Memory<byte>[count];
        var readOnly = new ReadOnlyMemory<byte>[count];
        for (int s = 0; s < count; s++)
        {
            int length = checked((int)(rows * format.Streams[s].BytesPerRow));
            rented[s] = ArrayPool<byte>.Shared.Rent(length);
            parts[s] = rented[s].AsMemory(0, length);
            readOnly[s] = parts[s];
        }

        values.ReadRows(firstRow, rows, destination);
        format.EncodeRows(destination, rows, parts);
        format.DecodeRows(readOnly, rows, destination);
        foreach (byte[] bytes in rented)
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }
}
