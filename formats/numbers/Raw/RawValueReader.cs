using System.Buffers;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>
/// The values of a raw tensor, read from its bytes on demand: any tile of rows and any rectangle, for every real dtype, including packed
/// sub-byte types whose rows do not start at a byte. Reads at most 256 KiB at a time.
/// </summary>
public sealed class RawValueReader : IRandomValueReader
{
    private const int ChunkBytes = 256 << 10;
    private const int SmallRowBytes = 2048;

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
        destination = destination[..checked(rows * columns)];
        if (columns == Shape.Columns)
        {
            ReadElements(firstRow * Shape.Columns, destination);
        }
        else if (Shape.Columns * _bits / 8 <= Math.Max(4L * columns * _bits / 8, SmallRowBytes))
        {
            ReadThroughRows(firstRow, rows, (int)firstColumn, columns, destination);
        }
        else
        {
            for (int r = 0; r < rows; r++)
            {
                ReadElements(((firstRow + r) * Shape.Columns) + firstColumn, destination.Slice(r * columns, columns));
            }
        }
    }

    /// <summary>Reads whole rows and keeps the columns asked for: cheaper than one small read per row.</summary>
    private void ReadThroughRows(long firstRow, int rows, int firstColumn, int columns, Span<float> destination)
    {
        int rowLength = (int)Shape.Columns;
        int strip = Math.Clamp(ChunkBytes / sizeof(float) / rowLength, 1, Math.Max(rows, 1));
        float[] buffer = ArrayPool<float>.Shared.Rent(strip * rowLength);
        try
        {
            for (int done = 0; done < rows; done += strip)
            {
                int count = Math.Min(strip, rows - done);
                Span<float> values = buffer.AsSpan(0, count * rowLength);
                ReadElements((firstRow + done) * rowLength, values);
                for (int r = 0; r < count; r++)
                {
                    values.Slice((r * rowLength) + firstColumn, columns).CopyTo(destination[((done + r) * columns)..]);
                }
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(buffer);
        }
    }

    private void ReadElements(long first, Span<float> destination)
    {
        if (_dtype == DType.F32)
        {
            _data.Read(first * sizeof(float), MemoryMarshal.AsBytes(destination));
            return;
        }

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
