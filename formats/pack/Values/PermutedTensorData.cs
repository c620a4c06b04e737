namespace ModelPack.Pack;

/// <summary>
/// The bytes of a tensor with its axes permuted like ONNX Transpose, elements untouched. For the types that cannot pass through f32; such tensors
/// (indices, shapes, tables) are small, so the result is made whole, in memory, on first use.
/// </summary>
internal sealed class PermutedTensorData : TensorData
{
    private const int LimitBytes = 1 << 30;

    private readonly Lazy<byte[]> _bytes;

    /// <param name="source">Bytes of the component.</param>
    /// <param name="shape">Shape of the component.</param>
    /// <param name="perm">Axis i of the result is axis perm[i] of the component.</param>
    /// <param name="width">Bytes per element.</param>
    public PermutedTensorData(TensorData source, Shape shape, int[] perm, int width)
        : base(source.LengthBytes)
    {
        _bytes = new Lazy<byte[]>(() => Permute(source, shape, perm, width));
    }

    protected override void ReadCore(long offsetBytes, Span<byte> destination) => _bytes.Value.AsSpan((int)offsetBytes, destination.Length).CopyTo(destination);

    protected override bool TryGetSpanCore(long offsetBytes, int lengthBytes, out ReadOnlySpan<byte> span)
    {
        span = _bytes.Value.AsSpan((int)offsetBytes, lengthBytes);
        return true;
    }

    private static byte[] Permute(TensorData source, Shape shape, int[] perm, int width)
    {
        if (source.LengthBytes > LimitBytes)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"a permuted tensor of {source.LengthBytes} bytes of this type is too large (limit {LimitBytes})");
        }

        byte[] from = source.ToArray(LimitBytes);
        byte[] to = new byte[from.Length];
        long[] strides = new long[perm.Length];
        long stride = width;
        for (int axis = perm.Length - 1; axis >= 0; axis--)
        {
            strides[Array.IndexOf(perm, axis)] = stride;
            stride *= shape[axis];
        }

        // An odometer over the result's axes; at is the position in the component.
        long[] index = new long[perm.Length];
        long at = 0;
        for (int element = 0; element < to.Length; element += width)
        {
            from.AsSpan((int)at, width).CopyTo(to.AsSpan(element));
            for (int axis = perm.Length - 1; axis >= 0; axis--)
            {
                at += strides[axis];
                if (++index[axis] < shape[perm[axis]])
                {
                    break;
                }

                at -= strides[axis] * index[axis];
                index[axis] = 0;
            }
        }

        return to;
    }
}
