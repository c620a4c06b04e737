using System.Buffers;
using System.Runtime.InteropServices;

namespace ModelPack.Pack;

/// <summary>Values of an encoded number format, read row tile by row tile.</summary>
internal sealed class DenseValueReader(IBoundNumberFormat format, DenseEncoding encoding) : INarrowValueReader
{
    public Shape Shape => encoding.Shape;

    public void ReadRows(long firstRow, int rows, Span<float> destination) =>
        ReadRows(firstRow, rows, DType.F32, MemoryMarshal.AsBytes(destination[..checked((int)(rows * Shape.Columns))]));

    public void ReadRows(long firstRow, int rows, DType dtype, Span<byte> destination)
    {
        destination = destination[..checked((int)(rows * Shape.Columns * dtype.BitsPerElement() / 8))];
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

        format.DecodeRows(parts, rows, dtype, destination);
        foreach (byte[] bytes in rented)
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }
}
