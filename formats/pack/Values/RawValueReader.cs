using System.Buffers;
using System.Runtime.InteropServices;
using ModelPack.Numbers;

namespace ModelPack.Pack;

/// <summary>Values stored plainly in a dtype, from any <see cref="TensorData"/>; also gives rectangles.</summary>
internal sealed class RawValueReader(DType dtype, Shape shape, TensorData data) : IRandomValueReader
{
    /// <summary>Four elements of any sub-byte type (2, 4, 6 bits) are whole bytes.</summary>
    private const int SubByteGroup = 4;

    /// <summary>Pieces shorter than this are taken from the mapping when there is one; longer ones are read.</summary>
    private const int MapBelowBytes = 4096;

    private readonly UnitSpec _format = new(dtype.Name());
    private readonly int _bits = dtype.BitsPerElement();

    public Shape Shape { get; } = shape;

    public void ReadRows(long firstRow, int rows, Span<float> destination) =>
        ReadBlock(firstRow, rows, 0, checked((int)Shape.Columns), destination);

    public void ReadBlock(long firstRow, int rows, long firstColumn, int columns, Span<float> destination)
    {
        long stride = Shape.Columns;
        destination = destination[..checked(rows * columns)];
        if (destination.IsEmpty)
        {
            return;
        }

        if (columns == stride)
        {
            ReadElements(firstRow * stride, destination);
        }
        else if (_bits % 8 != 0)
        {
            for (int r = 0; r < rows; r++)
            {
                ReadElements(((firstRow + r) * stride) + firstColumn, destination.Slice(r * columns, columns));
            }
        }
        else
        {
            ReadStrided(firstRow, rows, firstColumn, columns, destination);
        }
    }

    private void ReadStrided(long firstRow, int rows, long firstColumn, int columns, Span<float> destination)
    {
        int width = _bits / 8;
        int pieceBytes = columns * width;
        byte[]? rented = dtype == DType.F32 ? null : ArrayPool<byte>.Shared.Rent(rows * pieceBytes);
        Span<byte> bytes = rented is null ? MemoryMarshal.AsBytes(destination) : rented.AsSpan(0, rows * pieceBytes);
        for (int r = 0; r < rows; r++)
        {
            long at = (((firstRow + r) * Shape.Columns) + firstColumn) * width;
            Span<byte> piece = bytes.Slice(r * pieceBytes, pieceBytes);
            if (pieceBytes < MapBelowBytes && data.TryGetSpan(at, pieceBytes, out ReadOnlySpan<byte> mapped))
            {
                mapped.CopyTo(piece);
            }
            else
            {
                data.Read(at, piece);
            }
        }

        if (rented is not null)
        {
            Decode(rented.AsMemory(0, rows * pieceBytes), destination);
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private void ReadElements(long first, Span<float> destination)
    {
        if (dtype == DType.F32)
        {
            data.Read(first * sizeof(float), MemoryMarshal.AsBytes(destination));
            return;
        }

        if (_bits % 8 == 0)
        {
            int length = checked(destination.Length * (_bits / 8));
            byte[] bytes = ArrayPool<byte>.Shared.Rent(length);
            data.Read(first * (_bits / 8), bytes.AsSpan(0, length));
            Decode(bytes.AsMemory(0, length), destination);
            ArrayPool<byte>.Shared.Return(bytes);
            return;
        }

        // Sub-byte: read from the group the first element is in, to the end of the last one's group or of the tensor.
        long total = Shape.ElementCount;
        long start = first - (first % SubByteGroup);
        int skip = (int)(first - start);
        int count = (int)Math.Min(total - start, (skip + (long)destination.Length + SubByteGroup - 1) / SubByteGroup * SubByteGroup);
        int packedLength = (int)dtype.StorageBytes(count);
        byte[] packed = ArrayPool<byte>.Shared.Rent(packedLength);
        float[] values = ArrayPool<float>.Shared.Rent(count);
        data.Read(start * _bits / 8, packed.AsSpan(0, packedLength));
        Decode(packed.AsMemory(0, packedLength), values.AsSpan(0, count));
        values.AsSpan(skip, destination.Length).CopyTo(destination);
        ArrayPool<float>.Shared.Return(values);
        ArrayPool<byte>.Shared.Return(packed);
    }

    private void Decode(ReadOnlyMemory<byte> bytes, Span<float> values) =>
        NumberFormats.Bind(_format, new Shape(values.Length)).DecodeRows([bytes], 1, values);
}
