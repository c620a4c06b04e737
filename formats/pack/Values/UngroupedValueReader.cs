using System.Buffers;

namespace ModelPack.Pack;

/// <summary>The inverse of <see cref="RegroupedValueReader"/>: the rows of the tensor from coded rows that hold several each. A coded row is read whole, whatever part of it is wanted.</summary>
internal sealed class UngroupedValueReader(IValueReader inner, Shape shape) : IValueReader
{
    private readonly long _rows = Math.Max(1, shape.Rows / Math.Max(1, inner.Shape.Rows));

    public Shape Shape { get; } = shape;

    public void ReadRows(long firstRow, int rows, Span<float> destination)
    {
        long columns = Shape.Columns;
        float[]? rented = null;
        while (rows > 0 && columns > 0)
        {
            (long group, long skip) = Math.DivRem(firstRow, _rows);
            int count = (int)Math.Min(rows, skip == 0 && rows >= _rows ? rows / _rows * _rows : _rows - skip);
            Span<float> part = destination[..checked((int)(count * columns))];
            if (skip == 0 && count % _rows == 0)
            {
                inner.ReadRows(group, (int)(count / _rows), part);
            }
            else
            {
                int length = checked((int)inner.Shape.Columns);
                rented ??= ArrayPool<float>.Shared.Rent(length);
                inner.ReadRows(group, 1, rented.AsSpan(0, length));
                rented.AsSpan((int)(skip * columns), part.Length).CopyTo(part);
            }

            destination = destination[part.Length..];
            firstRow += count;
            rows -= count;
        }

        if (rented is not null)
        {
            ArrayPool<float>.Shared.Return(rented);
        }
    }

    /// <summary>The reader itself where its rows are those wanted.</summary>
    public static IValueReader Of(IValueReader values, Shape shape) => values.Shape == shape ? values : new UngroupedValueReader(values, shape);
}
