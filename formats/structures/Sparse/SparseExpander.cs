using System.Buffers;
using System.Runtime.InteropServices;

namespace ModelPack.Structures;

/// <summary>
/// The dense rows of a sparse matrix, made band by band where they are wanted. Elements are moved as integers of their width: no bit changes. Thread-safe; what the mask must be
/// is checked before anything is placed.
/// </summary>
/// <typeparam name="T">An unsigned integer as wide as an element.</typeparam>
internal sealed class SparseExpander<T>
    where T : unmanaged
{
    /// <summary>Elements that one step expands.</summary>
    private const int StepElements = 256 << 10;

    private readonly SparseLayout _layout;
    private readonly RowMask _mask;
    private readonly IStoredValues<T> _values;
    private readonly Lazy<bool> _checked;

    /// <param name="layout">The layout.</param>
    /// <param name="mask">Bytes of the mask.</param>
    /// <param name="bitsSet">Bits that the mask must have for the values that there are, from and to.</param>
    /// <param name="values">The stored values.</param>
    public SparseExpander(SparseLayout layout, TensorData mask, (long From, long To) bitsSet, IStoredValues<T> values)
    {
        _layout = layout;
        _mask = new RowMask(mask, layout.MaskRows, layout.MaskBits);
        _values = values;
        _checked = new Lazy<bool>(() => _mask.Total >= bitsSet.From && _mask.Total <= bitsSet.To
            ? true
            : throw new ModelPackException(ErrorCodes.BadSparseIndex, $"the mask of '{layout.Unit}' has {_mask.Total} bits set, its values are for {(bitsSet.From == bitsSet.To ? "" : "up to ")}{bitsSet.To}"));
    }

    /// <summary>Expands rows [<paramref name="firstRow"/>, <paramref name="firstRow"/> + <paramref name="rows"/>).</summary>
    /// <param name="firstRow">First row.</param>
    /// <param name="rows">How many.</param>
    /// <param name="destination">Room for exactly these rows.</param>
    /// <exception cref="ModelPackException">MP1024: the mask is not what it must be.</exception>
    public void ReadRows(long firstRow, int rows, Span<T> destination)
    {
        if (_layout.BitsPerRow == 0)
        {
            _ = _checked.Value;
        }

        int stride = (int)_layout.Columns;
        int stepBands = (int)Math.Max(1, StepElements / ((long)_layout.BandRows * stride));
        long end = firstRow + rows;
        while (firstRow < end)
        {
            long band = firstRow / _layout.BandRows;
            long bandEnd = band + 1;
            while (bandEnd - band < stepBands && bandEnd < _layout.MaskRows && bandEnd * _layout.BandRows < end)
            {
                bandEnd++;
            }

            long next = Math.Min(end, bandEnd * _layout.BandRows);
            Expand(band, (int)(bandEnd - band), (int)(firstRow - (band * _layout.BandRows)), destination[..checked((int)((next - firstRow) * stride))]);
            destination = destination[checked((int)((next - firstRow) * stride))..];
            firstRow = next;
        }
    }

    /// <summary>Expands bands; of the first, rows from <paramref name="skip"/> on, of the last, as many as there is room for.</summary>
    private void Expand(long band, int bands, int skip, Span<T> destination)
    {
        int rowBytes = _mask.RowBytes;
        byte[] mask = ArrayPool<byte>.Shared.Rent(checked(bands * rowBytes));
        T[]? values = null;
        T[]? whole = null;
        try
        {
            _mask.Read(band, bands, mask);
            _layout.Check(mask.AsSpan(0, bands * rowBytes), band);
            long first = _layout.BitsPerRow > 0 ? band * _layout.BitsPerRow : _mask.Before(band);
            long bits = RowMask.PopCount(mask.AsSpan(0, bands * rowBytes));
            int count = checked((int)(bits * _layout.ValuesPerBit));
            values = ArrayPool<T>.Shared.Rent(count);
            _values.Read(first * _layout.ValuesPerBit, values.AsSpan(0, count));
            ReadOnlySpan<T> rest = values.AsSpan(0, count);
            for (int b = 0; b < bands; b++)
            {
                ReadOnlySpan<byte> row = mask.AsSpan(b * rowBytes, rowBytes);
                int stored = (int)RowMask.PopCount(row) * _layout.ValuesPerBit;
                int elements = _layout.RowsOf(band + b) * (int)_layout.Columns;
                int from = skip * (int)_layout.Columns;
                int wanted = Math.Min(elements - from, destination.Length);
                if (wanted == elements)
                {
                    _layout.Expand(row, rest[..stored], destination[..elements]);
                }
                else
                {
                    whole ??= ArrayPool<T>.Shared.Rent(elements);
                    _layout.Expand(row, rest[..stored], whole.AsSpan(0, elements));
                    whole.AsSpan(from, wanted).CopyTo(destination);
                }

                rest = rest[stored..];
                destination = destination[wanted..];
                skip = 0;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(mask);
            Return(values);
            Return(whole);
        }
    }

    private static void Return(T[]? rented)
    {
        if (rented is not null)
        {
            ArrayPool<T>.Shared.Return(rented);
        }
    }
}

/// <summary>The values component of a sparse matrix as one long vector.</summary>
internal interface IStoredValues<T>
    where T : unmanaged
{
    /// <summary>Reads elements from <paramref name="first"/> on; on many threads at once.</summary>
    void Read(long first, Span<T> values);
}

/// <summary>Values stored plainly: their bytes.</summary>
internal sealed class PlainValues<T>(TensorData data) : IStoredValues<T>
    where T : unmanaged
{
    public unsafe void Read(long first, Span<T> values) => data.Read(first * sizeof(T), MemoryMarshal.AsBytes(values));
}

/// <summary>Values in any number format, as f32.</summary>
internal sealed class DecodedValues(IValueReader reader) : IStoredValues<uint>
{
    public void Read(long first, Span<uint> values)
    {
        if (values.IsEmpty)
        {
            return;
        }

        Span<float> wanted = MemoryMarshal.Cast<uint, float>(values);
        long columns = reader.Shape.Columns;
        long row = first / columns;
        int skip = (int)(first % columns);
        int rows = checked((int)(((first + values.Length - 1) / columns) - row + 1));
        if (skip == 0 && rows * columns == values.Length)
        {
            reader.ReadRows(row, rows, wanted);
            return;
        }

        int length = checked((int)(rows * columns));
        float[] whole = ArrayPool<float>.Shared.Rent(length);
        reader.ReadRows(row, rows, whole.AsSpan(0, length));
        whole.AsSpan(skip, values.Length).CopyTo(wanted);
        ArrayPool<float>.Shared.Return(whole);
    }
}
