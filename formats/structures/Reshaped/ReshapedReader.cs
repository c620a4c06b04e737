namespace ModelPack.Structures;

/// <summary>
/// Reads rows of one shape from rows of another. Whole component rows go straight to the destination; of rows that a tile needs only
/// in part the last one is kept, because the next tile begins in it.
/// </summary>
internal sealed class ReshapedReader(IValueReader component, Shape shape) : IValueReader
{
    private readonly Lock _lock = new();
    private float[] _kept = [];
    private long _keptRow = -1;

    public Shape Shape => shape;

    public void ReadRows(long firstRow, int rows, Span<float> destination)
    {
        if (firstRow < 0 || rows < 0 || rows > shape.Rows - firstRow)
        {
            throw new ArgumentOutOfRangeException(nameof(firstRow), $"rows {firstRow}+{rows} are outside {shape}");
        }

        destination = destination[..checked((int)(rows * shape.Columns))];
        long position = firstRow * shape.Columns;
        long columns = component.Shape.Columns;
        while (!destination.IsEmpty)
        {
            long row = position / columns;
            long skip = position % columns;
            int whole = skip == 0 ? (int)(destination.Length / columns) : 0;
            int count;
            if (whole > 0)
            {
                count = (int)(whole * columns);
                component.ReadRows(row, whole, destination[..count]);
            }
            else
            {
                count = (int)Math.Min(columns - skip, destination.Length);
                ReadPart(row, skip, destination[..count]);
            }

            position += count;
            destination = destination[count..];
        }
    }

    private void ReadPart(long row, long skip, Span<float> destination)
    {
        if (component is IRandomValueReader random && skip <= int.MaxValue)
        {
            random.ReadBlock(row, 1, skip, destination.Length, destination);
            return;
        }

        lock (_lock)
        {
            if (_keptRow != row)
            {
                _keptRow = -1;
                _kept = _kept.Length == component.Shape.Columns ? _kept : new float[component.Shape.Columns];
                component.ReadRows(row, 1, _kept);
                _keptRow = row;
            }

            _kept.AsSpan((int)skip, destination.Length).CopyTo(destination);
        }
    }
}
