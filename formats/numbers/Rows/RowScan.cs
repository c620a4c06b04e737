namespace ModelPack.Numbers;

/// <summary>Reads all rows of a tensor in order, in tiles.</summary>
internal static class RowScan
{
    private const int TileValues = 64 << 10;

    /// <summary>Gets some whole rows; returns false to stop.</summary>
    public delegate bool Visitor(ReadOnlySpan<float> tile, int columns);

    /// <summary>Visits tiles of whole rows until one returns false.</summary>
    /// <exception cref="ModelPackException">MP1040: a value is NaN or infinite.</exception>
    public static void Run(IValueReader values, string format, Visitor visit)
    {
        int columns = RowLimits.Columns(format, values.Shape);
        long rows = values.Shape.Rows;
        if (columns == 0 || rows == 0)
        {
            return;
        }

        int tileRows = (int)Math.Clamp(TileValues / columns, 1, rows);
        float[] tile = new float[tileRows * columns];
        for (long first = 0; first < rows; first += tileRows)
        {
            int count = (int)Math.Min(tileRows, rows - first);
            Span<float> part = tile.AsSpan(0, count * columns);
            values.ReadRows(first, count, part);
            int bad = FiniteCheck.FirstNotFinite(part);
            if (bad >= 0)
            {
                throw new ModelPackException(
                    ErrorCodes.UnrepresentableValue,
                    FormattableString.Invariant($"value {part[bad]} at row {first + (bad / columns)}, column {bad % columns} cannot be stored as {format}"));
            }

            if (!visit(part, columns))
            {
                return;
            }
        }
    }
}
