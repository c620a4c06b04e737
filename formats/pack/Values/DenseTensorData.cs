using System.Diagnostics.CodeAnalysis;
using ModelPack.Numbers;
using ModelPack.Structures;

namespace ModelPack.Pack;

/// <summary>The dense bytes of a tensor in its logical dtype, whatever its encoding, computed as they are read.</summary>
public static class DenseTensorData
{
    /// <summary>
    /// Bytes as a plain tensor of <paramref name="dtype"/> would have them. An encoding that is raw in that dtype is passed through untouched; everything else goes
    /// through f32 values and is rounded to <paramref name="dtype"/> by its raw number format.
    /// </summary>
    /// <remarks>Types that f32 cannot hold exactly (32 and 64-bit integers, f64, complex) are permuted byte for byte, and converted to floating point only.</remarks>
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

        if (TrySparse(dtype, encoding) is TensorData sparse)
        {
            return sparse;
        }

        if (TryExact(dtype, encoding, out TensorData? exact))
        {
            return exact;
        }

        IValueReader values = EncodingValues.Open(encoding);
        return bytes == 0 ? TensorData.Empty
            : dtype is DType.BF16 or DType.F16 && values is INarrowValueReader narrow ? new NarrowTensorData(narrow, dtype, bytes)
            : new ValueTensorData(NumberFormats.Bind(new UnitSpec(dtype.Name()), encoding.Shape), values, bytes);
    }

    /// <summary>The bytes of a sparse matrix, or of a reshaped one, whose values are stored plainly in that type.</summary>
    private static TensorData? TrySparse(DType dtype, WeightEncoding encoding)
    {
        while (encoding is StructuredEncoding { Structure.Id: "reshaped", Components: [WeightEncoding only] })
        {
            encoding = only;
        }

        return SparseMatrix.TryDense(dtype, encoding);
    }

    private static bool TryExact(DType dtype, WeightEncoding encoding, [NotNullWhen(true)] out TensorData? data)
    {
        data = null;
        WeightEncoding leaf = encoding;
        while (leaf is StructuredEncoding { Components: [WeightEncoding only] })
        {
            leaf = only;
        }

        if (!RawEncodings.TryGet(leaf, out DType stored, out TensorData bytes) || !IsWide(stored))
        {
            return false;
        }

        if (stored == dtype && encoding is StructuredEncoding { Structure.Id: Permuted.Id } permuted && permuted.Components[0] == leaf)
        {
            RawEncodings.CheckLength(stored, leaf.Shape, bytes.LengthBytes);
            data = new PermutedTensorData(bytes, leaf.Shape, Permuted.ParsePerm(permuted.Structure), dtype.BitsPerElement() / 8);
            return true;
        }

        return dtype.IsFloat() && dtype != DType.F64
            ? false
            : throw new ModelPackException(ErrorCodes.BadEncoding, $"'{encoding.Describe()}' cannot be given exactly as {dtype.Name()}");
    }

    private static bool IsWide(DType dtype) =>
        dtype is DType.F64 or DType.I64 or DType.U64 or DType.I32 or DType.U32 or DType.C64 or DType.C128;
}
