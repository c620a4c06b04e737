namespace ModelPack.Numbers;

/// <summary>Sizes that every format with independent rows respects.</summary>
internal static class RowLimits
{
    /// <summary>Longest row in values: a row is coded in memory.</summary>
    public const int MaxColumns = 1 << 28;

    /// <summary>Values per row.</summary>
    /// <exception cref="ModelPackException">MP1020: too many elements, or rows too long.</exception>
    public static int Columns(string format, Shape shape)
    {
        if (!shape.TryElementCount(out _))
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{format}': shape {shape} is too large");
        }

        return shape.Columns <= MaxColumns
            ? (int)shape.Columns
            : throw new ModelPackException(ErrorCodes.BadEncoding, $"'{format}': rows of {shape.Columns} values are longer than {MaxColumns}");
    }

    /// <exception cref="ModelPackException">MP1020: a stream would be longer than 2^63 - 1 bytes, or a row of it than an array.</exception>
    public static void CheckStream(string format, Shape shape, long bytesPerRow)
    {
        if (bytesPerRow > int.MaxValue || (Int128)shape.Rows * bytesPerRow > long.MaxValue)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{format}': shape {shape} is too large");
        }
    }

    /// <summary>
    /// The shape as blocks of <paramref name="block"/> values over the flattened tensor see it: itself when rows are whole blocks, else one row of all elements.
    /// </summary>
    public static Shape Flattened(string format, Shape shape, int block)
    {
        if (!shape.TryElementCount(out long count))
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{format}': shape {shape} is too large");
        }

        return shape.Columns % block == 0 ? shape : new Shape(count);
    }
}
