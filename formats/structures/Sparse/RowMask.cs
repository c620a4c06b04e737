using System.Buffers;
using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;

namespace ModelPack.Structures;

/// <summary>
/// One bit per place of a grid [rows, bits], every row padded to whole bytes with zeros, lowest bit first: which places of a sparse matrix are stored. Counts bits before a row by
/// sums kept every few kilobytes, so that neither the mask nor a pointer per row is held. Thread-safe.
/// </summary>
internal sealed class RowMask
{
    /// <summary>Mask bytes between two kept sums.</summary>
    private const int StrideBytes = 4096;

    private readonly TensorData _data;
    private readonly long _rows;
    private readonly int _lastBits;
    private readonly int _rowsPerStride;
    private readonly Lazy<long[]> _before;

    /// <param name="data">The mask: rows x <see cref="RowBytes"/> bytes.</param>
    /// <param name="rows">Rows of the grid, at least 1.</param>
    /// <param name="bits">Places in a row, at least 1.</param>
    public RowMask(TensorData data, long rows, long bits)
    {
        (_data, _rows) = (data, rows);
        RowBytes = checked((int)((bits + 7) / 8));
        _lastBits = (int)(bits - (8 * (RowBytes - 1L)));
        _rowsPerStride = Math.Max(1, StrideBytes / RowBytes);
        _before = new Lazy<long[]>(Count);
    }

    /// <summary>Bytes of a row.</summary>
    public int RowBytes { get; }

    /// <summary>Bits set in the whole mask.</summary>
    /// <exception cref="ModelPackException">MP1024: a padding bit is set; and what reading the mask may throw.</exception>
    public long Total => _before.Value[^1];

    /// <summary>Bits set in the rows before <paramref name="row"/>, which may be the end.</summary>
    public long Before(long row)
    {
        long stride = row / _rowsPerStride;
        long first = stride * _rowsPerStride;
        long before = row == _rows ? _before.Value[^1] : _before.Value[stride];
        if (row == first || row == _rows)
        {
            return before;
        }

        int length = checked((int)((row - first) * RowBytes));
        byte[] bytes = ArrayPool<byte>.Shared.Rent(length);
        _data.Read(first * RowBytes, bytes.AsSpan(0, length));
        before += PopCount(bytes.AsSpan(0, length));
        ArrayPool<byte>.Shared.Return(bytes);
        return before;
    }

    /// <summary>The bits of some rows.</summary>
    /// <param name="row">First row.</param>
    /// <param name="rows">How many.</param>
    /// <param name="mask">Room for exactly these rows.</param>
    public void Read(long row, int rows, Span<byte> mask) => _data.Read(row * RowBytes, mask[..checked(rows * RowBytes)]);

    /// <summary>Number of bits set.</summary>
    public static long PopCount(ReadOnlySpan<byte> bytes)
    {
        long count = 0;
        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(bytes))
        {
            count += BitOperations.PopCount(word);
        }

        for (int i = bytes.Length & ~7; i < bytes.Length; i++)
        {
            count += BitOperations.PopCount((uint)bytes[i]);
        }

        return count;
    }

    /// <summary>Up to 64 bits of a row, from byte <paramref name="at"/> on; zeros past its end.</summary>
    public static ulong Word(ReadOnlySpan<byte> row, int at)
    {
        ReadOnlySpan<byte> rest = row[at..];
        if (rest.Length >= sizeof(ulong))
        {
            return BinaryPrimitives.ReadUInt64LittleEndian(rest);
        }

        ulong word = 0;
        for (int i = rest.Length - 1; i >= 0; i--)
        {
            word = (word << 8) | rest[i];
        }

        return word;
    }

    private long[] Count()
    {
        long strides = ((_rows - 1) / _rowsPerStride) + 1;
        long[] before = new long[strides + 1];
        byte[] bytes = ArrayPool<byte>.Shared.Rent(checked(_rowsPerStride * RowBytes));
        try
        {
            long count = 0;
            for (long s = 0; s < strides; s++)
            {
                before[s] = count;
                int rows = (int)Math.Min(_rowsPerStride, _rows - (s * _rowsPerStride));
                Span<byte> part = bytes.AsSpan(0, rows * RowBytes);
                Read(s * _rowsPerStride, rows, part);
                count += PopCount(part);
                CheckPadding(part, s * _rowsPerStride);
            }

            before[strides] = count;
            return before;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    private void CheckPadding(ReadOnlySpan<byte> mask, long firstRow)
    {
        for (int last = RowBytes - 1; _lastBits < 8 && last < mask.Length; last += RowBytes)
        {
            if (mask[last] >> _lastBits != 0)
            {
                throw new ModelPackException(ErrorCodes.BadSparseIndex, $"row {firstRow + (last / RowBytes)} of its mask names a place past the row's end");
            }
        }
    }
}
