namespace ModelPack;

/// <summary>A reader that also gives 16-bit floats, without holding its rows as f32: encoded tensors.</summary>
public interface INarrowValueReader : IValueReader
{
    /// <summary>Reads rows [<paramref name="firstRow"/>, <paramref name="firstRow"/> + <paramref name="rows"/>), rounded to nearest even.</summary>
    /// <param name="firstRow">First row.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="dtype"><see cref="DType.BF16"/> or <see cref="DType.F16"/>.</param>
    /// <param name="destination">Row-major tile, little-endian; at least 2 x rows x columns bytes.</param>
    void ReadRows(long firstRow, int rows, DType dtype, Span<byte> destination);
}
