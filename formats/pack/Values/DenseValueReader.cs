using System.Buffers;
using System.Runtime.InteropServices;
using ModelPack.Numbers;

namespace ModelPack.Pack;

/// <summary>Values of an encoded number format, read row tile by row tile.</summary>
internal sealed class DenseValueReader(IBoundNumberFormat format, DenseEncoding encoding) : INarrowValueReader
{
    private readonly long _group = RegroupedValueReader.RowsPerRow(format.Shape, encoding.Shape);

    public Shape Shape => encoding.Shape;

    public void ReadRows(long firstRow, int rows, Span<float> destination) =>
        ReadRows(firstRow, rows, DType.F32, MemoryMarshal.AsBytes(destination[..checked((int)(rows * Shape.Columns))]));

    public void ReadRows(long firstRow, int rows, DType dtype, Span<byte> destination)
    {
        int rowBytes = checked((int)(Shape.Columns * dtype.BitsPerElement() / 8));
        destination = destination[..checked(rows * rowBytes)];
        while (!destination.IsEmpty)
        {
            // Whole coded rows at once, then and before that the wanted rows of one.
            int skip = (int)(firstRow % _group);
            long whole = skip == 0 ? rows / _group : 0;
            int count = whole > 0 ? (int)(whole * _group) : (int)Math.Min(rows, _group - skip);
            Span<byte> part = destination[..(count * rowBytes)];
            if (whole > 0)
            {
                DecodeRows(firstRow / _group, (int)whole, dtype, part);
            }
            else
            {
                DecodeWithin(firstRow / _group, skip, count, dtype, part);
            }

            destination = destination[part.Length..];
            firstRow += count;
            rows -= count;
        }
    }

    private void DecodeRows(long firstRow, int rows, DType dtype, Span<byte> destination)
    {
        using var parts = new Parts(format.Streams.Count);
        for (int s = 0; s < format.Streams.Count; s++)
        {
            long perRow = format.Streams[s].BytesPerRow;
            parts.Read(s, encoding.Streams[s].Data, firstRow * perRow, checked((int)(rows * perRow)));
        }

        format.DecodeRows(parts.Bytes, rows, dtype, destination);
    }

    /// <summary>Rows of the tensor inside one coded row.</summary>
    private void DecodeWithin(long codedRow, int firstRow, int rows, DType dtype, Span<byte> destination)
    {
        int columns = (int)Shape.Columns;
        int wanted = rows * columns;
        if (format is not IGroupedRowFormat grouped)
        {
            int width = dtype.BitsPerElement() / 8;
            int length = checked((int)format.Shape.Columns * width);
            byte[] all = ArrayPool<byte>.Shared.Rent(length);
            DecodeRows(codedRow, 1, dtype, all.AsSpan(0, length));
            all.AsSpan(firstRow * columns * width, wanted * width).CopyTo(destination);
            ArrayPool<byte>.Shared.Return(all);
            return;
        }

        using var parts = new Parts(format.Streams.Count);
        for (int s = 0; s < format.Streams.Count; s++)
        {
            (int offset, int length) = grouped.Part(s, firstRow, rows);
            parts.Read(s, encoding.Streams[s].Data, (codedRow * format.Streams[s].BytesPerRow) + offset, length);
        }

        if (dtype == DType.F32)
        {
            grouped.DecodePart(parts.Bytes, firstRow, rows, MemoryMarshal.Cast<byte, float>(destination));
            return;
        }

        float[] wide = ArrayPool<float>.Shared.Rent(wanted);
        grouped.DecodePart(parts.Bytes, firstRow, rows, wide.AsSpan(0, wanted));
        NarrowFloats.Round(wide.AsSpan(0, wanted), dtype, destination);
        ArrayPool<float>.Shared.Return(wide);
    }

    /// <summary>Pieces of all streams in rented memory.</summary>
    private readonly struct Parts(int count) : IDisposable
    {
        private readonly byte[]?[] _rented = new byte[count][];

        public ReadOnlyMemory<byte>[] Bytes { get; } = new ReadOnlyMemory<byte>[count];

        public void Read(int stream, TensorData data, long offsetBytes, int lengthBytes)
        {
            byte[] rented = ArrayPool<byte>.Shared.Rent(lengthBytes);
            _rented[stream] = rented;
            data.Read(offsetBytes, rented.AsSpan(0, lengthBytes));
            Bytes[stream] = rented.AsMemory(0, lengthBytes);
        }

        public void Dispose()
        {
            foreach (byte[]? rented in _rented)
            {
                if (rented is not null)
                {
                    ArrayPool<byte>.Shared.Return(rented);
                }
            }
        }
    }
}
