namespace ModelPack.Numbers;

/// <summary>Questions about block scales before a format is chosen.</summary>
public static class IntBlockScales
{
    private const float MinNormalHalf = 6.103515625e-05f;
    private const float MaxHalf = 65504f;

    /// <summary>
    /// True when every block scale of <paramref name="values"/> would be a normal f16 number, or belongs to a block of zeros: then
    /// <c>scale=f16</c> loses nothing but the last bits of the scales.
    /// </summary>
    /// <param name="values">The values to be encoded; read once, in tiles of about 64 Ki values.</param>
    /// <param name="format">An integer block format, <c>int4(block=32,symmetric=false)</c> and the like; its <c>scale</c> does not matter.</param>
    /// <exception cref="ModelPackException">MP1021 not an integer block format, MP1022 a wrong argument, MP1040 a value is NaN or infinite.</exception>
    public static bool FitsHalf(IValueReader values, UnitSpec format)
    {
        if (NumberFormats.Get(format.Id) is not IntBlockFormat block)
        {
            throw new ModelPackException(ErrorCodes.UnknownUnit, $"'{format.Id}' is not an integer block format");
        }

        IntBlockLayout layout = IntBlockFormat.Layout(format, block.Bits, values.Shape.Columns) with { Scale = DType.F32 };
        float smallest = MinNormalHalf / (layout.Search ? layout.Shrink(layout.SearchSteps - 1) : 1);
        long rows = values.Shape.Rows;
        if (layout.Columns == 0)
        {
            return true;
        }

        int tileRows = (int)Math.Clamp(65536 / layout.Columns, 1, Math.Max(rows, 1));
        float[] tile = new float[tileRows * layout.Columns];
        for (long first = 0; first < rows; first += tileRows)
        {
            int count = (int)Math.Min(tileRows, rows - first);
            values.ReadRows(first, count, tile.AsSpan(0, count * layout.Columns));
            for (int r = 0; r < count; r++)
            {
                if (!RowFits(tile.AsSpan(r * layout.Columns, layout.Columns), layout, first + r, smallest))
                {
                    return false;
                }
            }
        }

        return true;
    }

    /// <summary>As <see cref="FitsHalf(IValueReader, UnitSpec)"/> for bits, block (0 for whole rows) and symmetry.</summary>
    public static bool FitsHalf(IValueReader values, int block, int bits, bool symmetric = true) => FitsHalf(
        values,
        new UnitSpec(FormattableString.Invariant($"int{bits}"), ("block", FormattableString.Invariant($"{block}")), ("symmetric", symmetric ? "true" : "false")));

    private static bool RowFits(ReadOnlySpan<float> row, in IntBlockLayout layout, long rowIndex, float smallest)
    {
        for (int start = 0; start < row.Length; start += layout.Block)
        {
            float low = 0;
            float high = 0;
            foreach (float value in row.Slice(start, Math.Min(layout.Block, row.Length - start)))
            {
                if (!float.IsFinite(value))
                {
                    throw new ModelPackException(ErrorCodes.UnrepresentableValue, FormattableString.Invariant($"value {value} in row {rowIndex} cannot be stored as int{layout.Bits}"));
                }

                low = Math.Min(low, value);
                high = Math.Max(high, value);
            }

            float scale = layout.Symmetric
                ? BlockScale.Symmetric(Math.Max(-low, high), 1, layout).Scale
                : BlockScale.Asymmetric(low, high, 1, layout).Scale;
            if (scale < smallest || scale > MaxHalf)
            {
                return false;
            }
        }

        return true;
    }
}
