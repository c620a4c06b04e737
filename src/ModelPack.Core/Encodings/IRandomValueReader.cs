namespace ModelPack;

/// <summary>
/// A reader that also gives rectangles of its matrix view at a cost proportional to their size: raw tensors in a file. Lets a
/// transposing reader pull column panels instead of the whole component.
/// </summary>
public interface IRandomValueReader : IValueReader
{
    /// <summary>
    /// Reads rows [<paramref name="firstRow"/>, <paramref name="firstRow"/> + <paramref name="rows"/>) x columns
    /// [<paramref name="firstColumn"/>, <paramref name="firstColumn"/> + <paramref name="columns"/>) into a row-major tile [rows, columns].
    /// </summary>
    void ReadBlock(long firstRow, int rows, long firstColumn, int columns, Span<float> destination);
}
