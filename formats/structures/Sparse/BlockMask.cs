using System.Buffers;
using System.Runtime.InteropServices;

namespace ModelPack.Structures;

/// <summary>Which blocks of a matrix hold anything but zero bits.</summary>
internal static class BlockMask
{
    /// <summary>The mask of a matrix for a layout of blocks; at most one bit per 4 elements, and usually per thousand.</summary>
    public static unsafe byte[] Of<T>(SparseLayout layout, TensorData matrix)
        where T : unmanaged, IEquatable<T>
    {
        int rowBytes = checked((int)layout.MaskShape[1]);
        byte[] mask = new byte[checked((int)(layout.MaskRows * rowBytes))];
        int columns = (int)layout.Columns;
        int edge = layout.ValuesPerBit / layout.BandRows;
        T[] buffer = ArrayPool<T>.Shared.Rent(columns);
        Span<T> row = buffer.AsSpan(0, columns);
        for (long r = 0; r < layout.Rows; r++)
        {
            matrix.Read(r * columns * sizeof(T), MemoryMarshal.AsBytes(row));
            Span<byte> bits = mask.AsSpan((int)(r / layout.BandRows) * rowBytes, rowBytes);
            for (int at = row.IndexOfAnyExcept(default(T)); at >= 0;)
            {
                int block = at / edge;
                bits[block / 8] |= (byte)(1 << (block % 8));
                at = Math.Min(columns, (block + 1) * edge);
                int next = row[at..].IndexOfAnyExcept(default(T));
                at = next < 0 ? -1 : at + next;
            }
        }

        ArrayPool<T>.Shared.Return(buffer);
        return mask;
    }
}
