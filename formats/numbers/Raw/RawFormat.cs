namespace ModelPack.Numbers;

/// <summary>Values stored plainly in one dtype; the format has the dtype's name and one stream, <c>values</c>. See SPEC.md.</summary>
internal sealed class RawFormat(DType dtype) : INumberFormat
{
    public DType DType { get; } = dtype;

    public string Id => DType.Name();

    public string Summary => DType switch
    {
        DType.String => "strings, carried as they are",
        DType.C64 or DType.C128 => $"plain {DType.BitsPerElement()}-bit complex values, carried as they are",
        DType.Bool => "plain booleans, one byte each",
        _ when DType.IsInteger() => $"plain {DType.BitsPerElement()}-bit integers",
        _ => $"plain {DType.BitsPerElement()}-bit floating point",
    };

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape)
    {
        spec.AllowOnly();
        if (!shape.TryElementCount(out long count) || (DType.HasFixedWidth() && !DType.TryStorageBytes(count, out _)))
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{Id}': shape {shape} is too large");
        }

        bool wholeRows = DType.BitsPerElement() % 8 == 0 || (Int128)shape.Columns * DType.BitsPerElement() % 8 == 0;
        return new BoundRawFormat(DType, wholeRows ? shape : new Shape(count));
    }
}
