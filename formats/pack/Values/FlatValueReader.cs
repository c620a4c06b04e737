namespace ModelPack.Pack;

/// <summary>All values of a reader as one row.</summary>
internal sealed class FlatValueReader(IValueReader inner) : IValueReader
{
    public Shape Shape { get; } = new(inner.Shape.ElementCount);

    public void ReadRows(long firstRow, int rows, Span<float> destination)
    {
        if (rows > 0)
        {
            inner.ReadRows(0, checked((int)inner.Shape.Rows), destination);
        }
    }
}
