namespace ModelPack.Pack;

/// <summary>
/// The same values in the same order under the shape whose rows a number format codes: each of its rows is several whole rows of the tensor, up to all of them
/// (<see cref="IBoundNumberFormat.Shape"/>).
/// </summary>
internal sealed class RegroupedValueReader(IValueReader inner, Shape shape) : IValueReader
{
    public Shape Shape { get; } = shape;

    /// <summary>Rows of <paramref name="tensor"/> in one row of <paramref name="coded"/>; 1 where there are no values.</summary>
    public static long RowsPerRow(Shape coded, Shape tensor) => tensor.Columns == 0 ? 1 : Math.Max(1, coded.Columns / tensor.Columns);

    /// <summary>The reader itself where shapes are equal.</summary>
    public static IValueReader Of(IValueReader values, Shape coded) => coded == values.Shape ? values : new RegroupedValueReader(values, coded);

    public void ReadRows(long firstRow, int rows, Span<float> destination)
    {
        destination = destination[..checked((int)(rows * Shape.Columns))];
        if (!destination.IsEmpty)
        {
            long group = RowsPerRow(Shape, inner.Shape);
            inner.ReadRows(firstRow * group, checked((int)(rows * group)), destination);
        }
    }
}
