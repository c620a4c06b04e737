using System.Buffers;
using System.Runtime.InteropServices;

namespace ModelPack.Structures;

/// <summary>The mask of a layout of elements, made from the matrix when it is read.</summary>
internal sealed class ElementMaskData<T>(ElementLayout layout, TensorData matrix) : TensorData(layout.MaskShape.ElementCount)
    where T : unmanaged, IEquatable<T>
{
    private readonly int _rowBytes = (int)layout.MaskShape[1];

    protected override unsafe void ReadCore(long offsetBytes, Span<byte> destination)
    {
        int columns = (int)layout.Columns;
        T[] elements = ArrayPool<T>.Shared.Rent(columns);
        byte[] mask = ArrayPool<byte>.Shared.Rent(_rowBytes);
        Span<T> row = elements.AsSpan(0, columns);
        while (!destination.IsEmpty)
        {
            long r = offsetBytes / _rowBytes;
            int skip = (int)(offsetBytes % _rowBytes);
            int count = Math.Min(_rowBytes - skip, destination.Length);
            matrix.Read(r * columns * sizeof(T), MemoryMarshal.AsBytes(row));
            MaskKernel.NonZero<T>(row, mask.AsSpan(0, _rowBytes));
            layout.Complete(mask.AsSpan(0, _rowBytes));
            mask.AsSpan(skip, count).CopyTo(destination);
            destination = destination[count..];
            offsetBytes += count;
        }

        ArrayPool<T>.Shared.Return(elements);
        ArrayPool<byte>.Shared.Return(mask);
    }
}

/// <summary>The stored values of a matrix, collected from it band by band when they are read.</summary>
internal sealed unsafe class GatheredValues<T>(SparseLayout layout, RowMask mask, TensorData matrix, long count) : TensorData(count * sizeof(T))
    where T : unmanaged
{
    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        long first = offsetBytes / sizeof(T);
        int skip = (int)(offsetBytes % sizeof(T));
        if (skip == 0 && destination.Length % sizeof(T) == 0)
        {
            Collect(first, MemoryMarshal.Cast<byte, T>(destination));
            return;
        }

        int elements = (skip + destination.Length + sizeof(T) - 1) / sizeof(T);
        T[] whole = ArrayPool<T>.Shared.Rent(elements);
        Collect(first, whole.AsSpan(0, elements));
        MemoryMarshal.AsBytes(whole.AsSpan(0, elements)).Slice(skip, destination.Length).CopyTo(destination);
        ArrayPool<T>.Shared.Return(whole);
    }

    /// <summary>The band that stored value <paramref name="value"/> belongs to.</summary>
    private long BandOf(long value)
    {
        long bit = value / layout.ValuesPerBit;
        if (layout.BitsPerRow > 0)
        {
            return bit / layout.BitsPerRow;
        }

        long low = 0;
        long high = layout.MaskRows - 1;
        while (low < high)
        {
            long middle = (low + high + 1) / 2;
            (low, high) = mask.Before(middle) <= bit ? (middle, high) : (low, middle - 1);
        }

        return low;
    }

    private void Collect(long first, Span<T> destination)
    {
        byte[] bits = ArrayPool<byte>.Shared.Rent(mask.RowBytes);
        T[]? band = null;
        T[]? values = null;
        try
        {
            long number = BandOf(first);
            long start = (layout.BitsPerRow > 0 ? number * layout.BitsPerRow : mask.Before(number)) * layout.ValuesPerBit;
            for (; !destination.IsEmpty && number < layout.MaskRows; number++)
            {
                Span<byte> row = bits.AsSpan(0, mask.RowBytes);
                mask.Read(number, 1, row);
                int stored = checked((int)(RowMask.PopCount(row) * layout.ValuesPerBit));
                int skip = (int)(first - start);
                int wanted = Math.Min(stored - skip, destination.Length);
                if (wanted > 0)
                {
                    int elements = layout.RowsOf(number) * (int)layout.Columns;
                    band ??= ArrayPool<T>.Shared.Rent(elements);
                    matrix.Read(number * layout.BandRows * layout.Columns * sizeof(T), MemoryMarshal.AsBytes(band.AsSpan(0, elements)));
                    if (wanted == stored)
                    {
                        layout.Gather<T>(row, band.AsSpan(0, elements), destination[..stored]);
                    }
                    else
                    {
                        values = Room(values, stored);
                        layout.Gather<T>(row, band.AsSpan(0, elements), values.AsSpan(0, stored));
                        values.AsSpan(skip, wanted).CopyTo(destination);
                    }

                    destination = destination[wanted..];
                    first += wanted;
                }

                start += stored;
            }

            // The last row of values of a bitmap.
            destination.Clear();
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bits);
            Return(band);
            Return(values);
        }
    }

    private static T[] Room(T[]? rented, int length)
    {
        if (rented is not null && rented.Length >= length)
        {
            return rented;
        }

        Return(rented);
        return ArrayPool<T>.Shared.Rent(length);
    }

    private static void Return(T[]? rented)
    {
        if (rented is not null)
        {
            ArrayPool<T>.Shared.Return(rented);
        }
    }
}
