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

        // A raw sub-byte format whose rows are not whole bytes: all elements are one row.
        float[] all = ArrayPool<float>.Shared.Rent(checked((int)Shape.ElementCount));
        RoundTrip(new FlatValueReader(source), 0, 1, all.AsSpan(0, (int)Shape.ElementCount));
        all.AsSpan((int)(firstRow * Shape.Columns), destination.Length).CopyTo(destination);
        ArrayPool<float>.Shared.Return(all);
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
