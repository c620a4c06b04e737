using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>Two files of any supported kind, tensor by tensor.</summary>
public static class Comparison
{
    /// <summary>Compares tensors that have the same name; values are decoded, tile by tile.</summary>
    /// <exception cref="ModelPackException">One of the files cannot be read.</exception>
    public static CompareResult Compare(string a, string b, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
    {
        using TensorFile left = TensorFile.Open(a, cancellation);
        using TensorFile right = TensorFile.Open(b, cancellation);
        return Compare(left, right, progress, cancellation);
    }

    internal static CompareResult Compare(TensorFile left, TensorFile right, IProgress<ToolProgress>? progress, CancellationToken cancellation)
    {
        Dictionary<string, TensorFile.Entry> other = right.Tensors.ToDictionary(t => t.Name, StringComparer.Ordinal);
        var names = left.Tensors.Select(t => t.Name).ToHashSet(StringComparer.Ordinal);
        long total = left.Tensors.Sum(t => t.Shape.ElementCount);
        long done = 0;
        var compared = new List<ComparedTensor>();
        foreach (TensorFile.Entry entry in left.Tensors)
        {
            progress?.Report(new ToolProgress("compare", done, total, entry.Name));
            if (other.TryGetValue(entry.Name, out TensorFile.Entry? match))
            {
                try
                {
                    compared.Add(CompareTensor(entry, match, cancellation));
                }
                catch (ModelPackException e) when (e.Tensor is null)
                {
                    throw new ModelPackException(e.Code, e.Message, e.Path ?? left.Path, entry.Name, innerException: e);
                }
            }

            done += entry.Shape.ElementCount;
        }

        return new CompareResult
        {
            A = left.Path,
            B = right.Path,
            Tensors = compared,
            Missing = [.. left.Tensors.Where(t => !other.ContainsKey(t.Name)).Select(t => t.Name)],
            Extra = [.. right.Tensors.Where(t => !names.Contains(t.Name)).Select(t => t.Name)],
        };
    }

    private static ComparedTensor CompareTensor(TensorFile.Entry a, TensorFile.Entry b, CancellationToken cancellation)
    {
        if (a.Shape != b.Shape)
        {
            return new ComparedTensor { Name = a.Name, Identical = false, Note = $"shapes differ: {a.Shape} and {b.Shape}" };
        }

        bool identical = a.DType == b.DType && BytesEqual(DenseTensorData.Of(a.DType, a.Encoding), DenseTensorData.Of(b.DType, b.Encoding), cancellation);
        if (identical)
        {
            return new ComparedTensor { Name = a.Name, Identical = true, MaxAbsError = 0, RelativeError = 0 };
        }

        return IsComparable(a.DType) && IsComparable(b.DType)
            ? TensorDifference.Compare(a.Name, EncodingValues.Open(a.Encoding), EncodingValues.Open(b.Encoding), cancellation)
            : new ComparedTensor
            {
                Name = a.Name,
                Identical = false,
                Note = a.DType == b.DType ? "bytes differ" : $"types differ: {a.DType.Name()} and {b.DType.Name()}",
            };
    }

    /// <summary>Types whose values f32 holds exactly.</summary>
    private static bool IsComparable(DType dtype) => dtype.IsFloat() && dtype != DType.F64;

    private static bool BytesEqual(TensorData a, TensorData b, CancellationToken cancellation)
    {
        if (a.LengthBytes != b.LengthBytes)
        {
            return false;
        }

        byte[] x = new byte[(int)Math.Min(1 << 20, a.LengthBytes)];
        byte[] y = new byte[x.Length];
        for (long offset = 0; offset < a.LengthBytes; offset += x.Length)
        {
            cancellation.ThrowIfCancellationRequested();
            int n = (int)Math.Min(x.Length, a.LengthBytes - offset);
            a.Read(offset, x.AsSpan(0, n));
            b.Read(offset, y.AsSpan(0, n));
            if (!x.AsSpan(0, n).SequenceEqual(y.AsSpan(0, n)))
            {
                return false;
            }
        }

        return true;
    }
}
