using ModelPack.Numbers;

namespace ModelPack.Pack;

/// <summary>Walks an encoding tree bottom-up and gives its values: the one generic function that decodes every combination.</summary>
public static class EncodingValues
{
    /// <summary>
    /// Opens an encoding for reading values as f32, tile by tile. Pending encodings give what the artifact will hold: values are encoded and decoded again.
    /// </summary>
    /// <exception cref="ModelPackException">MP1020 streams that do not fit the format, MP1021 unknown unit, MP1022 wrong argument.</exception>
    public static IValueReader Open(WeightEncoding encoding)
    {
        switch (encoding)
        {
            case DenseEncoding { Source: WeightEncoding source } pending:
                CheckShape(pending, source);
                IValueReader values = Open(source);
                return new PendingValueReader(NumberFormats.Bind(NumberFormats.Complete(pending.Format, values), pending.Shape), pending.Shape, values);
            case DenseEncoding dense when RawEncodings.TryGet(dense, out DType dtype, out TensorData data):
                return new RawValueReader(dtype, dense.Shape, data);
            case DenseEncoding dense:
                return new DenseValueReader(StreamChecks.Bind(dense), dense);
            case StructuredEncoding structured:
                ModelPack.IStructure structure = ModelPack.Structures.Structures.Get(structured.Structure.Id);
                structure.Validate(structured);
                return structure.Open(structured, [.. structured.Components.Select(Open)]);
            default:
                throw new ModelPackException(ErrorCodes.BadEncoding, $"an encoding of kind {encoding.GetType().Name} cannot be read");
        }
    }

    internal static void CheckShape(DenseEncoding pending, WeightEncoding source)
    {
        if (pending.Shape != source.Shape)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{pending.Format}' of shape {pending.Shape} is to encode values of shape {source.Shape}");
        }
    }
}
