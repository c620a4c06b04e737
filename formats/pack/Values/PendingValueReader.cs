using System.Buffers;

namespace ModelPack.Pack;

/// <summary>What a pending encoding will give back after writing: every tile is encoded and decoded again.</summary>
/// <param name="format">The format, complete.</param>
/// <param name="source">Values in the rows that the format codes.</param>
internal sealed class PendingValueReader(IBoundNumberFormat format, IValueReader source) : IValueReader
{
    public Shape Shape => format.Shape;

    public void ReadRows(long firstRow, int rows, Span<float> destination)
    {
        destination = destination[..checked((int)(rows * Shape.Columns))];
        if (destination.IsEmpty)
        {
            return;
        }

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

        source.ReadRows(firstRow, rows, destination);
        format.EncodeRows(destination, rows, parts);
        format.DecodeRows(readOnly, rows, destination);
        foreach (byte[] bytes in rented)
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }
}
