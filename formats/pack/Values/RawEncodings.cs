namespace ModelPack.Pack;

/// <summary>Encodings that hold a dtype plainly.</summary>
internal static class RawEncodings
{
    /// <summary>True for an encoded (not pending) raw encoding; gives its dtype and bytes.</summary>
    public static bool TryGet(WeightEncoding encoding, out DType dtype, out TensorData data)
    {
        if (encoding is DenseEncoding { Source: null, Streams: [{ Role: "values" } stream] } dense
            && dense.Format.Arguments.IsEmpty
            && DTypes.TryParse(dense.Format.Id, out dtype))
        {
            data = stream.Data;
            return true;
        }

        dtype = DType.Undefined;
        data = TensorData.Empty;
        return false;
    }

    /// <exception cref="ModelPackException">MP1020: the shape does not need exactly <paramref name="bytes"/>.</exception>
    public static void CheckLength(DType dtype, Shape shape, long bytes)
    {
        if (!dtype.HasFixedWidth())
        {
            return;
        }

        if (!shape.TryElementCount(out long count) || !dtype.TryStorageBytes(count, out long need))
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"{dtype.Name()}{shape} is too large");
        }

        if (need != bytes)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"{dtype.Name()}{shape} needs {need} bytes but has {bytes}");
        }
    }
}
