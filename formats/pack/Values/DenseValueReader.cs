using System.Buffers;

namespace ModelPack.Pack;

/// <summary>Values of an encoded number format, read row tile by row tile.</summary>
internal sealed class DenseValueReader(IBoundNumberFormat format, DenseEncoding encoding) : IValueReader
{
    private readonly long _group = RegroupedValueReader.RowsPerRow(format.Shape, encoding.Shape);

    public Shape Shape => encoding.Shape;

    public void ReadRows(long firstRow, int rows, Span<float> destination)
    {
        int columns = checked((int)Shape.Columns);
        destination = destination[..checked(rows * columns)];
        while (!destination.IsEmpty)
        {
            // Whole coded rows at once, then and before that the wanted rows of one.
            int skip = (int)(firstRow % _group);
            long whole = skip == 0 ? rows / _group : 0;
            int count = whole > 0 ? (int)(whole * _group) : (int)Math.Min(rows, _group - skip);
            Span<float> part = destination[..(count * columns)];
            if (whole > 0)
            {
                DecodeRows(firstRow / _group, (int)whole, part);
            }
            else
            {
                DecodeWithin(firstRow / _group, skip, count, part);
            }

            destination = destination[part.Length..];
            firstRow += count;
            rows -= count;
        }
    }

    private void DecodeRows(long firstRow, int rows, Span<float> destination)
    {
        using var parts = new Parts(format.Streams.Count);
        for (int s = 0; s < format.Streams.Count; s++)
        {
            long perRow = format.Streams[s].BytesPerRow;
            parts.Read(s, encoding.Streams[s].Data, firstRow * perRow, checked((int)(rows * perRow)));
        }

        format.DecodeRows(parts.Bytes, rows, destination);
    }

    /// <summary>Rows of the tensor inside one coded row.</summary>
    private void DecodeWithin(long codedRow, int firstRow, int rows, Span<float> destination)
    {
        if (format is IGroupedRowFormat grouped)
        {
            using var parts = new Parts(format.Streams.Count);
            for (int s = 0; s < format.Streams.Count; s++)
            {
                (int offset, int length) = grouped.Part(s, firstRow, rows);
                parts.Read(s, encoding.Streams[s].Data, (codedRow * format.Streams[s].BytesPerRow) + offset, length);
            }

            grouped.DecodePart(parts.Bytes, firstRow, rows, destination);
            return;
        }

        int columns = (int)Shape.Columns;
        float[] all = ArrayPool<float>.Shared.Rent(checked((int)format.Shape.Columns));
        try
        {
            DecodeRows(codedRow, 1, all.AsSpan(0, (int)format.Shape.Columns));
            all.AsSpan(firstRow * columns, rows * columns).CopyTo(destination);
        }
        finally
        {
            ArrayPool<float>.Shared.Return(all);
        }
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
