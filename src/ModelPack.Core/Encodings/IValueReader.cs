namespace ModelPack;

/// <summary>
/// Pulls the values of an encoding tree tile by tile, as f32. Thread-safe: several tiles may be read at once.
/// </summary>
public interface IValueReader
{
    /// <summary>Shape of the values; rows and columns are those of its matrix view.</summary>
    Shape Shape { get; }

    /// <summary>Reads rows [<paramref name="firstRow"/>, <paramref name="firstRow"/> + <paramref name="rows"/>) into a row-major tile.</summary>
    void ReadRows(long firstRow, int rows, Span<float> destination);
}
