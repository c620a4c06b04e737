using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>
/// TL1 and TL2, one block of BM rows at a time. Positions are computed from rows and columns, so that any rows of the block can be decoded; a byte gives 4 values (two pairs) or twice 3 (a magnitude and
/// a sign each) by one look-up of a vector. <see cref="BitNetTables"/> is the oracle.
/// </summary>
internal static class BitNetTableKernel
{
    /// <summary>Bytes of two indexes of pairs, 0 to 8 each.</summary>
    public static readonly SearchValues<byte> IndexPairs = Nibbles(8);

    /// <summary>Bytes of two magnitudes of threes, 0 to 13 each.</summary>
    public static readonly SearchValues<byte> MagnitudePairs = Nibbles(13);

    /// <summary>The four values of every byte of two pairs.</summary>
    public static Vector128<float>[] Quads(float scale)
    {
        var quads = new Vector128<float>[256];
        for (int i = 0; i < quads.Length; i++)
        {
            int high = i >> 4;
            int low = i & 15;
            quads[i] = Vector128.Create((float)((high / 3) - 1), (high % 3) - 1, (low / 3) - 1, (low % 3) - 1) * scale;
        }

        return quads;
    }

    /// <summary>The three values of every magnitude, then of every negative one.</summary>
    public static Vector128<float>[] Triples(float scale)
    {
        var triples = new Vector128<float>[32];
        for (int i = 0; i < triples.Length; i++)
        {
            int code = 13 + (i < 16 ? i : 16 - i);
            triples[i] = Vector128.Create((float)((code / 9) - 1), (code / 3 % 3) - 1, (code % 3) - 1, 0) * scale;
        }

        return triples;
    }

    /// <summary>Codes 0, 1, 2 of a block [BM, padded columns] to bytes of two pairs.</summary>
    public static void EncodePairs(ReadOnlySpan<byte> trits, in BitNetTableLayout layout, Span<byte> pairs)
    {
        int padded = layout.TripleColumns + layout.PairColumns;
        var places = new PairPlaces(layout);
        for (int c = 0; c < layout.PairColumns; c += layout.PairBlock)
        {
            for (int row = 0; row < layout.Tiles.RowBlock; row++)
            {
                ReadOnlySpan<byte> from = trits.Slice((row * padded) + layout.TripleColumns + c, layout.PairBlock);
                ref byte to = ref places.First(pairs, c, row);
                for (int x = 0; x < from.Length; x += places.Strip)
                {
                    for (int j = 0; j < places.Strip; j += 4)
                    {
                        ReadOnlySpan<byte> four = from.Slice(x + j, 4);
                        Unsafe.Add(ref to, 4 * j) = (byte)((((3 * four[0]) + four[1]) << 4) | ((3 * four[2]) + four[3]));
                    }

                    to = ref Unsafe.Add(ref to, places.StripBytes);
                }
            }
        }
    }

    /// <summary>Decodes pairs of some rows of a block, row by row: lines of values are written whole, and the bytes of a tile stay in the nearest cache.</summary>
    /// <param name="pairs">Bytes of the block.</param>
    /// <param name="layout">Sizes.</param>
    /// <param name="quads">256: what bytes stand for.</param>
    /// <param name="firstRow">First row within the block.</param>
    /// <param name="values">[rows, columns]; only columns of pairs are written.</param>
    public static void DecodePairs(ReadOnlySpan<byte> pairs, in BitNetTableLayout layout, ReadOnlySpan<Vector128<float>> quads, int firstRow, Span<float> values)
    {
        int columns = layout.Columns;
        int end = firstRow + (values.Length / columns);
        var places = new PairPlaces(layout);
        for (int c = 0; c < layout.PairColumns; c += layout.PairBlock)
        {
            int first = layout.TripleColumns + c;
            for (int row = firstRow; row < end; row++)
            {
                Span<float> to = values.Slice((row - firstRow) * columns, columns);
                ref byte from = ref places.First(pairs, c, row);
                for (int x = 0; x < layout.PairBlock; x += places.Strip)
                {
                    for (int j = 0; j < places.Strip; j += 4)
                    {
                        Store(quads[Unsafe.Add(ref from, 4 * j)], 4, to, first + x + j);
                    }

                    from = ref Unsafe.Add(ref from, places.StripBytes);
                }
            }
        }
    }

    /// <summary>Codes 0, 1, 2 of a block to magnitudes and signs of threes.</summary>
    public static void EncodeTriples(ReadOnlySpan<byte> trits, in BitNetTableLayout layout, Span<byte> magnitudes, Span<byte> signs)
    {
        int padded = layout.TripleColumns + layout.PairColumns;
        for (int start = 0; start < layout.TripleColumns; start += layout.Tiles.ColumnBlock)
        {
            for (int row = 0; row < layout.Tiles.RowBlock; row++)
            {
                (int magnitude, int sign) = TriplePlace(layout, start, row);
                int half = row % 32 / 16;
                for (int c = 0; c < layout.Tiles.ColumnBlock; c += 24, magnitude += 128, sign += 32)
                {
                    // The other half of the word belongs to the row 16 before.
                    int word = half == 0 ? 0 : BinaryPrimitives.ReadUInt16LittleEndian(signs[sign..]);
                    ReadOnlySpan<byte> columns = trits.Slice((row * padded) + start + c, 24);
                    for (int t = 0; t < 4; t++)
                    {
                        ReadOnlySpan<byte> six = columns.Slice(6 * t, 6);
                        int high = (9 * six[0]) + (3 * six[1]) + six[2] - 13;
                        int low = (9 * six[3]) + (3 * six[4]) + six[5] - 13;
                        magnitudes[magnitude + (32 * t)] = (byte)((Math.Abs(high) << 4) | Math.Abs(low));
                        word |= (((high >> 31) & 0x8000) | ((low >> 31) & 0x2000)) >> ((4 * t) + half);
                    }

                    BinaryPrimitives.WriteUInt16LittleEndian(signs[sign..], (ushort)word);
                }
            }
        }
    }

    /// <summary>Decodes threes of some rows of a block.</summary>
    /// <param name="magnitudes">Magnitudes of the block.</param>
    /// <param name="signs">Signs of the block.</param>
    /// <param name="layout">Sizes.</param>
    /// <param name="triples">32: what magnitudes and signs stand for.</param>
    /// <param name="firstRow">First row within the block.</param>
    /// <param name="values">[rows, columns]; columns of threes are written, and one behind them that is written again later.</param>
    public static void DecodeTriples(
        ReadOnlySpan<byte> magnitudes, ReadOnlySpan<byte> signs, in BitNetTableLayout layout, ReadOnlySpan<Vector128<float>> triples, int firstRow, Span<float> values)
    {
        int columns = layout.Columns;
        int columnBlock = layout.Tiles.ColumnBlock;
        int end = firstRow + (values.Length / columns);
        ref Vector128<float> table = ref MemoryMarshal.GetReference(triples);
        for (int start = 0; start < layout.TripleColumns; start += columnBlock)
        {
            for (int row = firstRow; row < end; row++)
            {
                Span<float> to = values.Slice((row - firstRow) * columns, columns);
                (int magnitude, int sign) = TriplePlace(layout, start, row);
                int half = row % 32 / 16;
                for (int c = start; c < start + columnBlock; c += 24, magnitude += 128, sign += 32)
                {
                    int word = BinaryPrimitives.ReadUInt16LittleEndian(signs[sign..]) << half;
                    ReadOnlySpan<byte> four = magnitudes.Slice(magnitude, 97);
                    for (int t = 0; t < 4; t++)
                    {
                        int both = four[32 * t];
                        Store(Unsafe.Add(ref table, (both >> 4) | ((word >> 11) & 16)), 3, to, c + (6 * t));
                        Store(Unsafe.Add(ref table, (both & 15) | ((word >> 9) & 16)), 3, to, c + (6 * t) + 3);
                        word <<= 4;
                    }
                }
            }
        }
    }

    /// <summary>Where, for the columns of a block from <paramref name="start"/> on, the first magnitude of a row lies and its first word of signs. Four magnitudes, 32 bytes apart, and one word make 24 columns.</summary>
    private static (int Magnitude, int Sign) TriplePlace(in BitNetTableLayout layout, int start, int row)
    {
        int values = (start * layout.Tiles.RowBlock) + ((row & ~31) * layout.Tiles.ColumnBlock);
        return ((values / 6) + Shuffled(row & 31), (values / 24) + (2 * (row & 15)));
    }

    /// <summary>The place of a row among 32: groups of 8 in the order 0, 2, 1, 3, which is its own inverse.</summary>
    private static int Shuffled(int row) => (row & 7) | ((row & 8) << 1) | ((row & 16) >> 1);

    /// <summary>Stores values of a row at a column. Where the row ends before, what lies behind it is left out.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector128<float> values, int count, Span<float> row, int column)
    {
        if (column + 4 <= row.Length)
        {
            values.StoreUnsafe(ref MemoryMarshal.GetReference(row), (nuint)column);
            return;
        }

        for (int i = 0; i < count && column + i < row.Length; i++)
        {
            row[column + i] = values[i];
        }
    }

    /// <summary>Where pairs lie. A row's bytes for a strip of columns are 16 apart, the strips of a row <see cref="StripBytes"/>; TL2 has strips of one byte, and shuffles rows.</summary>
    private readonly struct PairPlaces(in BitNetTableLayout layout)
    {
        private readonly int _rowBlock = layout.Tiles.RowBlock;
        private readonly int _rowTile = layout.Tiles.RowTile;
        private readonly int _columnBlock = layout.PairBlock;
        private readonly bool _shuffled = layout.Triples;

        /// <summary>Columns of a strip.</summary>
        public int Strip { get; } = layout.Triples ? 4 : 256 / layout.Tiles.RowTile;

        public int StripBytes => _rowTile * Strip / 4;

        /// <summary>The first byte of a row in the columns of a block from <paramref name="column"/> on. The last one lies at most a tile behind it, in the buffer.</summary>
        public ref byte First(ReadOnlySpan<byte> pairs, int column, int row)
        {
            int within = row % _rowTile;
            int values = (column * _rowBlock) + ((row - within) * _columnBlock) + (_shuffled ? 0 : (within & ~15) * Strip);
            ReadOnlySpan<byte> tile = pairs.Slice(values / 4, ((_columnBlock * _rowTile) - (_shuffled ? 0 : (within & ~15) * Strip)) / 4);
            return ref Unsafe.Add(ref MemoryMarshal.GetReference(tile), _shuffled ? Shuffled(within) : within & 15);
        }
    }

    private static SearchValues<byte> Nibbles(int largest) =>
        SearchValues.Create([.. Enumerable.Range(0, 256).Where(b => (b >> 4) <= largest && (b & 15) <= largest).Select(b => (byte)b)]);
}
