using ModelPack.Numbers;

namespace ModelPack.Pack;

/// <summary>The dense bytes of a tensor in its logical dtype, whatever its encoding, computed as they are read.</summary>
public static class DenseTensorData
{
    /// <summary>
    /// Bytes as a plain tensor of <paramref name="dtype"/> would have them. An encoding that is raw in that dtype is passed through untouched; everything else goes
    /// through f32 values and is rounded to <paramref name="dtype"/> by its raw number format.
    /// </summary>
    /// <exception cref="ModelPackException">MP1020, MP1021, MP1022 as <see cref="EncodingValues.Open"/>; MP1020 when <paramref name="dtype"/> has no dense form.</exception>
    public static TensorData Of(DType dtype, WeightEncoding encoding)
    {
        if (RawEncodings.TryGet(encoding, out DType stored, out TensorData data) && stored == dtype)
        {
            return data;
        }

        if (!encoding.Shape.TryElementCount(out long count) || !dtype.TryStorageBytes(count, out long bytes))
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"{dtype.Name()}{encoding.Shape} has no dense form");
        }

        IValueReader values = EncodingValues.Open(encoding);
        return bytes == 0 ? TensorData.Empty : new ValueTensorData(NumberFormats.Bind(new UnitSpec(dtype.Name()), encoding.Shape), values, bytes);
    }
}
