namespace ModelPack.Pack;

/// <summary>Values of a reader seen as fewer, longer rows: what a format codes whose rows are several rows of the tensor, or all of it.</summary>
internal sealed class RegroupedValueReader(IValueReader inner, Shape shape) : IValueReader
{
    private readonly long _rows = inner.Shape.Rows / Math.Max(1, shape.Rows);

    public Shape Shape { get; } = shape;

    public void ReadRows(long firstRow, int rows, Span<float> destination)
    {
        if (rows > 0)
        {
            inner.ReadRows(firstRow * _rows, checked((int)(rows * _rows)), destination);
        }
    }

    /// <summary>The reader itself where its rows are those wanted.</summary>
    public static IValueReader Of(IValueReader values, Shape shape) => values.Shape == shape ? values : new RegroupedValueReader(values, shape);
}
