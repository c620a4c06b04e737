namespace ModelPack.Pack;

/// <summary>Rows of a tensor as the slice <c>[First : First + Count]</c> of its first axis takes them.</summary>
/// <param name="OffsetBytes">Where they begin in the dense tensor.</param>
/// <param name="LengthBytes">How long they are.</param>
/// <param name="Shape">The tensor's shape with the first dimension replaced by their number.</param>
public readonly record struct RowRange(long OffsetBytes, long LengthBytes, Shape Shape)
{
    /// <summary>Where rows lie in a dense, row-major tensor.</summary>
    /// <param name="dtype">Element type of the dense tensor.</param>
    /// <param name="shape">Its shape.</param>
    /// <param name="firstRow">First row, from 0.</param>
    /// <param name="rows">Their number; may be 0.</param>
    /// <exception cref="ModelPackException">MP4109: a scalar, rows outside the tensor, or rows that do not begin and end at whole bytes (types of less than 8 bits).</exception>
    public static RowRange Of(DType dtype, Shape shape, long firstRow, long rows)
    {
        (long offset, long length) = Bytes(dtype, shape, firstRow, rows);
        return new RowRange(offset, length, new Shape([rows, .. shape.Dims.AsSpan()[1..]]));
    }

    /// <summary>As <see cref="Of"/> without the shape, and without allocating.</summary>
    internal static (long OffsetBytes, long LengthBytes) Bytes(DType dtype, Shape shape, long firstRow, long rows)
    {
        ReadOnlySpan<long> dims = shape.Dims.AsSpan();
        if (dims.IsEmpty)
        {
            throw new ModelPackException(ErrorCodes.RowsOutOfRange, "a scalar has no rows");
        }

        if (firstRow < 0 || rows < 0 || firstRow > dims[0] || rows > dims[0] - firstRow)
        {
            throw new ModelPackException(ErrorCodes.RowsOutOfRange, $"rows {firstRow}:{(Int128)firstRow + rows} are not among the {dims[0]} rows of {dtype.Name()}{shape}");
        }

        // A shape whose product does not fit has no elements: some dimension is 0.
        Int128 bits = shape.TryElementCount(out long elements) && elements > 0 ? (Int128)(elements / dims[0]) * dtype.BitsPerElement() : 0;
        return dtype.HasFixedWidth() && firstRow * bits % 8 == 0 && rows * bits % 8 == 0
            ? ((long)(firstRow * bits / 8), (long)(rows * bits / 8))
            : throw new ModelPackException(ErrorCodes.RowsOutOfRange, $"rows {firstRow}:{firstRow + rows} of {dtype.Name()}{shape} do not begin and end at whole bytes");
    }
}
