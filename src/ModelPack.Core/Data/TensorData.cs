namespace ModelPack;

/// <summary>
/// The bytes of a tensor or stream, not yet read: a length and "read these bytes into this span". Little-endian, dense, row-major.
/// Instances are immutable and safe to read from several threads at once.
/// </summary>
public abstract class TensorData
{
    protected TensorData(long lengthBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(lengthBytes);
        LengthBytes = lengthBytes;
    }

    /// <summary>No bytes at all.</summary>
    public static TensorData Empty { get; } = new MemoryTensorData(ReadOnlyMemory<byte>.Empty);

    /// <summary>Total length in bytes; may exceed 2 GiB.</summary>
    public long LengthBytes { get; }

    /// <summary>Fills <paramref name="destination"/> with the bytes that start at <paramref name="offsetBytes"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside the data.</exception>
    /// <exception cref="ModelPackException">The backing file cannot be read any more, or is damaged.</exception>
    public void Read(long offsetBytes, Span<byte> destination)
    {
        CheckRange(offsetBytes, destination.Length);
        if (!destination.IsEmpty)
        {
            ReadCore(offsetBytes, destination);
        }
    }

    /// <summary>
    /// Gives the bytes without copying, when they lie in memory or can be mapped. The span is valid while the owner of the
    /// data (the opened model or artifact) is not disposed.
    /// </summary>
    public bool TryGetSpan(long offsetBytes, int lengthBytes, out ReadOnlySpan<byte> span)
    {
        CheckRange(offsetBytes, lengthBytes);
        return TryGetSpanCore(offsetBytes, lengthBytes, out span);
    }

    /// <summary>A view of part of this data.</summary>
    public TensorData Slice(long offsetBytes, long lengthBytes)
    {
        CheckRange(offsetBytes, lengthBytes);
        return offsetBytes == 0 && lengthBytes == LengthBytes ? this : new SlicedTensorData(this, offsetBytes, lengthBytes);
    }

    /// <summary>All bytes as one array: only for small data such as shapes and scalars.</summary>
    /// <exception cref="InvalidOperationException">The data is larger than <paramref name="limitBytes"/>.</exception>
    public byte[] ToArray(int limitBytes = 16 << 20)
    {
        if (LengthBytes > limitBytes)
        {
            throw new InvalidOperationException($"{LengthBytes} bytes are too many to copy to an array (limit {limitBytes})");
        }

        byte[] bytes = new byte[LengthBytes];
        Read(0, bytes);
        return bytes;
    }

    /// <summary>Wraps bytes that are already in memory.</summary>
    public static TensorData FromBytes(ReadOnlyMemory<byte> bytes) => bytes.IsEmpty ? Empty : new MemoryTensorData(bytes);

    protected abstract void ReadCore(long offsetBytes, Span<byte> destination);

    protected virtual bool TryGetSpanCore(long offsetBytes, int lengthBytes, out ReadOnlySpan<byte> span)
    {
        span = default;
        return false;
    }

    private void CheckRange(long offsetBytes, long lengthBytes)
    {
        if (offsetBytes < 0 || lengthBytes < 0 || lengthBytes > LengthBytes - offsetBytes)
        {
            throw new ArgumentOutOfRangeException(nameof(offsetBytes), $"range {offsetBytes}+{lengthBytes} is outside {LengthBytes} bytes");
        }
    }
}
