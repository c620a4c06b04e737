using System.Buffers;

namespace ModelPack.Pack;

/// <summary>Values of an encoded number format, read tile by tile of the rows that it codes.</summary>
internal sealed class DenseValueReader(IBoundNumberFormat format, DenseEncoding encoding) : IValueReader
{
    public Shape Shape => format.Shape;

    public void ReadRows(long firstRow, int rows, Span<float> destination)
    {
        destination = destination[..checked((int)(rows * Shape.Columns))];
        if (destination.IsEmpty)
        {
            return;
        }

        int count = encoding.Streams.Length;
        var rented = new byte[count][];
        var parts = new ReadOnlyMemory<byte>[count];
        for (int s = 0; s < count; s++)
        {
            long perRow = format.Streams[s].BytesPerRow;
            int length = checked((int)(rows * perRow));
            rented[s] = ArrayPool<byte>.Shared.Rent(length);
            encoding.Streams[s].Data.Read(firstRow * perRow, rented[s].AsSpan(0, length));
            parts[s] = rented[s].AsMemory(0, length);
        }

        format.DecodeRows(parts, rows, destination);
        foreach (byte[] bytes in rented)
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }
}
