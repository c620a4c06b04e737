using System.Buffers;

namespace ModelPack.Numbers;

/// <summary>
/// The values of a raw tensor, read from its bytes on demand: any tile of rows and any rectangle, for every real dtype, including packed
/// sub-byte types whose rows do not start at a byte. Reads at most 256 KiB at a time.
/// </summary>
public sealed class RawValueReader : IRandomValueReader
{
    private const int ChunkBytes = 256 << 10;

    private readonly DType _dtype;
    private readonly TensorData _data;
    private readonly int _bits;

    /// <param name="dtype">Element type.</param>
    /// <param name="shape">Shape of the tensor.</param>
    /// <param name="data">Its bytes: exactly the storage size of <paramref name="shape"/>.</param>
    /// <exception cref="ModelPackException">MP1041: complex or string elements. MP1020: the length does not match.</exception>
    public RawValueReader(DType dtype, Shape shape, TensorData data)
    {
        if (!RawDecoder.IsReal(dtype))
        {
            throw new ModelPackException(ErrorCodes.OpaqueValues, $"elements of type {dtype.Name()} cannot be read as real numbers");
        }

        if (!shape.TryElementCount(out long count) || !dtype.TryStorageBytes(count, out long bytes) || bytes != data.LengthBytes)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"{dtype.Name()}{shape} does not have {data.LengthBytes} bytes");
        }

        _dtype = dtype;
        _data = data;
        _bits = dtype.BitsPerElement();
        Shape = shape;
    }

    public Shape Shape { get; }

    public void ReadRows(long firstRow, int rows, Span<float> destination)
    {
        CheckRange(firstRow, rows, Shape.Rows, nameof(firstRow));
        ReadElements(firstRow * Shape.Columns, destination[..checked((int)(rows * Shape.Columns))]);
    }

    public void ReadBlock(long firstRow, int rows, long firstColumn, int columns, Span<float> destination)
    {
        CheckRange(firstRow, rows, Shape.Rows, nameof(firstRow));
        CheckRange(firstColumn, columns, Shape.Columns, nameof(firstColumn));
        if (columns == Shape.Columns)
        {
            ReadRows(firstRow, rows, destination);
            return;
        }

        for (int r = 0; r < rows; r++)
        {
            ReadElements(((firstRow + r) * Shape.Columns) + firstColumn, destination.Slice(r * columns, columns));
        }
    }

    private void ReadElements(long first, Span<float> destination)
    {
        // A multiple of 8 elements keeps every chunk of a packed type at the same bit as the first.
        int chunk = ChunkBytes / Math.Max(_bits / 8, 1) / 8 * 8;
        int bufferBytes = (int)Math.Min(((long)Math.Min(chunk, destination.Length) * _bits / 8) + 2, int.MaxValue);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(bufferBytes);
        try
        {
            for (int done = 0; done < destination.Length; done += chunk)
            {
                int count = Math.Min(chunk, destination.Length - done);
                Int128 bit = (Int128)(first + done) * _bits;
                long offset = (long)(bit / 8);
                int firstBit = (int)(bit % 8);
                Span<byte> bytes = buffer.AsSpan(0, (int)((firstBit + ((long)count * _bits) + 7) / 8));
                _data.Read(offset, bytes);
                RawDecoder.Decode(_dtype, bytes, firstBit, destination.Slice(done, count));
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static void CheckRange(long first, long count, long limit, string name)
    {
        if (first < 0 || count < 0 || count > limit - first)
        {
            throw new ArgumentOutOfRangeException(name, $"{first}+{count} is outside {limit}");
        }
    }
}
