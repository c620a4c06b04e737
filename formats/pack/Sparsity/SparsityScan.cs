using System.Buffers;
using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using ModelPack.Structures;

namespace ModelPack.Pack;

/// <summary>
/// What one pass over a matrix tells about where its zeros are: how many elements are not zero, how many blocks of each size, and how many in the fullest group of neighbours. Works
/// on a bit per element, 128 rows at a time.
/// </summary>
internal sealed class SparsityScan
{
    /// <summary>Rows of the tallest block.</summary>
    private const int BandRows = 128;

    /// <summary>Block sizes that are looked for, largest first: where two cost the same, the one that kernels like better.</summary>
    private static readonly (int Rows, int Columns)[] Edges = [(128, 128), (64, 64), (32, 32), (16, 16), (8, 8), (4, 4), (1, 32), (1, 16), (16, 1)];

    private readonly long[] _blocks = new long[Edges.Length];
    private readonly int[] _fullest = new int[5];

    private SparsityScan(long rows, long columns)
    {
        (Rows, Columns) = (rows, columns);
    }

    public long Rows { get; }

    public long Columns { get; }

    /// <summary>Elements that are not zero.</summary>
    public long NonZero { get; private set; }

    /// <summary>Block sizes and how many blocks of that size are not zero.</summary>
    public IEnumerable<(int Rows, int Columns, long Count)> Blocks => Edges.Select((e, i) => (e.Rows, e.Columns, _blocks[i]));

    /// <summary>Most elements that are not zero in any group of 4, 8, 16, 32 or 64 neighbours of a row.</summary>
    public int Fullest(int group) => _fullest[BitOperations.Log2((uint)group) - 2];

    /// <summary>Looks at all elements of a matrix.</summary>
    /// <param name="matrix">Its bytes, row-major.</param>
    /// <param name="rows">Rows, at least 1.</param>
    /// <param name="columns">Columns, at least 1 and at most 2^26.</param>
    /// <param name="width">Bytes per element: 1, 2 or 4.</param>
    /// <param name="cancellation">Checked once per 128 rows.</param>
    public static SparsityScan Of(TensorData matrix, long rows, long columns, int width, CancellationToken cancellation)
    {
        var scan = new SparsityScan(rows, columns);
        int words = checked((int)((columns + 63) / 64));
        int rowBytes = checked((int)(columns * width));
        byte[] row = ArrayPool<byte>.Shared.Rent(rowBytes);
        ulong[] band = ArrayPool<ulong>.Shared.Rent(checked(BandRows * words));
        try
        {
            Span<ulong> bits = band.AsSpan(0, BandRows * words);
            for (long first = 0; first < rows; first += BandRows)
            {
                cancellation.ThrowIfCancellationRequested();
                int count = (int)Math.Min(BandRows, rows - first);
                bits[(count * words)..].Clear();
                for (int r = 0; r < count; r++)
                {
                    // Read, not mapped: pages of a mapping count as memory of the process, and a whole checkpoint passes by here.
                    Span<byte> elements = row.AsSpan(0, rowBytes);
                    matrix.Read((first + r) * rowBytes, elements);
                    Span<ulong> target = bits.Slice(r * words, words);
                    target.Clear();
                    NonZeroBits(elements, width, MemoryMarshal.AsBytes(target)[..(int)((columns + 7) / 8)]);
                    scan.AddRow(target);
                }

                scan.AddBlocks(bits, words);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(row);
            ArrayPool<ulong>.Shared.Return(band);
        }

        return scan;
    }

    /// <summary>A bit per element: 1 where it has bits set.</summary>
    internal static void NonZeroBits(ReadOnlySpan<byte> elements, int width, Span<byte> mask)
    {
        switch (width)
        {
            case 1:
                SparseMatrix.NonZero<byte>(elements, mask);
                break;
            case 2:
                SparseMatrix.NonZero(MemoryMarshal.Cast<byte, ushort>(elements), mask);
                break;
            default:
                SparseMatrix.NonZero(MemoryMarshal.Cast<byte, uint>(elements), mask);
                break;
        }
    }

    private void AddRow(ReadOnlySpan<ulong> row)
    {
        // Bits of each field of 2, 4, 8, ... bits, added up side by side; then the largest of them.
        foreach (ulong stored in row)
        {
            ulong word = BitConverter.IsLittleEndian ? stored : BinaryPrimitives.ReverseEndianness(stored);
            if (word == 0)
            {
                continue;
            }

            ulong x = word - ((word >> 1) & 0x5555_5555_5555_5555);
            x = (x & 0x3333_3333_3333_3333) + ((x >> 2) & 0x3333_3333_3333_3333);
            Raise(0, x, 4);
            x = (x + (x >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
            Raise(1, x, 8);
            x = (x + (x >> 8)) & 0x00ff_00ff_00ff_00ff;
            Raise(2, x, 16);
            x = (x + (x >> 16)) & 0x0000_ffff_0000_ffff;
            Raise(3, x, 32);
            int all = BitOperations.PopCount(word);
            _fullest[4] = Math.Max(_fullest[4], all);
            NonZero += all;
        }
    }

    private void Raise(int group, ulong fields, int width)
    {
        int full = _fullest[group];
        if (full == width)
        {
            return;
        }

        ulong mask = (1UL << width) - 1;
        for (; fields != 0; fields >>= width)
        {
            full = Math.Max(full, (int)(fields & mask));
        }

        _fullest[group] = full;
    }

    /// <summary>Counts blocks of a band. Rows are merged by and by: the tallest blocks last.</summary>
    private void AddBlocks(Span<ulong> bits, int words)
    {
        int height = 1;
        foreach (int rows in (ReadOnlySpan<int>)[1, 4, 8, 16, 32, 64, 128])
        {
            for (; height < rows; height *= 2)
            {
                int merged = BandRows / height / 2;
                for (int r = 0; r < merged; r++)
                {
                    Span<ulong> to = bits.Slice(r * words, words);
                    ReadOnlySpan<ulong> upper = bits.Slice(2 * r * words, words);
                    ReadOnlySpan<ulong> lower = bits.Slice(((2 * r) + 1) * words, words);
                    for (int w = 0; w < words; w++)
                    {
                        to[w] = upper[w] | lower[w];
                    }
                }
            }

            for (int e = 0; e < Edges.Length; e++)
            {
                if (Edges[e].Rows == rows)
                {
                    for (int r = 0; r < BandRows / rows; r++)
                    {
                        _blocks[e] += Count(bits.Slice(r * words, words), Edges[e].Columns);
                    }
                }
            }
        }
    }

    /// <summary>Groups of <paramref name="columns"/> bits that have a bit set.</summary>
    private static long Count(ReadOnlySpan<ulong> row, int columns)
    {
        long count = 0;
        int pairs = columns == 128 ? 2 : 1;
        for (int w = 0; w < row.Length; w += pairs)
        {
            ulong word = row[w] | (pairs == 2 && w + 1 < row.Length ? row[w + 1] : 0);
            if (word == 0)
            {
                continue;
            }

            // Or all bits of a group into its lowest, then count the lowest ones.
            for (int shift = 1; shift < Math.Min(columns, 64); shift *= 2)
            {
                word |= word >> shift;
            }

            count += BitOperations.PopCount(word & Lowest(columns));
        }

        return count;
    }

    private static ulong Lowest(int columns) => columns switch
    {
        1 => ulong.MaxValue,
        4 => 0x1111_1111_1111_1111,
        8 => 0x0101_0101_0101_0101,
        16 => 0x0001_0001_0001_0001,
        32 => 0x0000_0001_0000_0001,
        _ => 1,
    };
}
