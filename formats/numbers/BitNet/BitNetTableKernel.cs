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
        for (int at = 0, c = 0; c < layout.PairColumns; c += layout.PairBlock)
        {
            for (int tile = 0; tile < layout.Tiles.RowBlock; tile += layout.Tiles.RowTile)
            {
                for (int part = 0; part < layout.PairBlock * layout.Tiles.RowTile; part += 64)
                {
                    (int row, int column) = PairPlace(layout, part);
                    for (int r = row; r < row + 16; r++)
                    {
                        int placed = layout.Triples ? Shuffled(r) : r;
                        ReadOnlySpan<byte> four = trits.Slice(((tile + placed) * padded) + layout.TripleColumns + c + column, 4);
                        pairs[at++] = (byte)((((3 * four[0]) + four[1]) << 4) | ((3 * four[2]) + four[3]));
                    }
                }
            }
        }
    }

    /// <summary>Decodes pairs of some rows of a block.</summary>
    /// <param name="pairs">Bytes of the block.</param>
    /// <param name="layout">Sizes.</param>
    /// <param name="quads">What bytes stand for.</param>
    /// <param name="firstRow">First row within the block.</param>
    /// <param name="values">[rows, columns]; only columns of pairs are written.</param>
    public static void DecodePairs(ReadOnlySpan<byte> pairs, in BitNetTableLayout layout, ReadOnlySpan<Vector128<float>> quads, int firstRow, Span<float> values)
    {
        int columns = layout.Columns;
        int rows = values.Length / columns;
        int at = 0;
        for (int c = 0; c < layout.PairColumns; c += layout.PairBlock)
        {
            for (int tile = 0; tile < layout.Tiles.RowBlock; tile += layout.Tiles.RowTile)
            {
                for (int part = 0; part < layout.PairBlock * layout.Tiles.RowTile; part += 64, at += 16)
                {
                    (int row, int column) = PairPlace(layout, part);
                    column += layout.TripleColumns + c;
                    for (int r = 0; r < 16; r++)
                    {
                        int placed = tile - firstRow + (layout.Triples ? Shuffled(row + r) : row + r);
                        if ((uint)placed < (uint)rows)
                        {
                            Store(quads[pairs[at + r]], 4, values.Slice(placed * columns, columns), column);
                        }
                    }
                }
            }
        }
    }

    /// <summary>Codes 0, 1, 2 of a block to magnitudes and signs of threes.</summary>
    public static void EncodeTriples(ReadOnlySpan<byte> trits, in BitNetTableLayout layout, Span<byte> magnitudes, Span<byte> signs)
    {
        int padded = layout.TripleColumns + layout.PairColumns;
        int columnBlock = layout.Tiles.ColumnBlock;
        for (int c = 0; c < layout.TripleColumns; c += 24)
        {
            int start = c / columnBlock * columnBlock;
            for (int row = 0; row < layout.Tiles.RowBlock; row++)
            {
                (int magnitude, int sign) = TriplePlace(layout, start, c - start, row);
                int word = row % 32 < 16 ? 0 : BinaryPrimitives.ReadUInt16LittleEndian(signs[sign..]);
                ReadOnlySpan<byte> columns = trits.Slice((row * padded) + c, 24);
                for (int t = 0; t < 8; t++)
                {
                    int v = (9 * columns[3 * t]) + (3 * columns[(3 * t) + 1]) + columns[(3 * t) + 2] - 13;
                    ref byte both = ref magnitudes[magnitude + (32 * (t / 2))];
                    both = t % 2 == 0 ? (byte)(Math.Abs(v) << 4) : (byte)(both | Math.Abs(v));
                    word |= (v < 0 ? 0x8000 : 0) >> ((2 * t) + (row % 32 / 16));
                }

                BinaryPrimitives.WriteUInt16LittleEndian(signs[sign..], (ushort)word);
            }
        }
    }

    /// <summary>Decodes threes of some rows of a block.</summary>
    /// <param name="magnitudes">Magnitudes of the block.</param>
    /// <param name="signs">Signs of the block.</param>
    /// <param name="layout">Sizes.</param>
    /// <param name="triples">What magnitudes and signs stand for.</param>
    /// <param name="firstRow">First row within the block.</param>
    /// <param name="values">[rows, columns]; columns of threes are written, and one behind them that is written again later.</param>
    public static void DecodeTriples(
        ReadOnlySpan<byte> magnitudes, ReadOnlySpan<byte> signs, in BitNetTableLayout layout, ReadOnlySpan<Vector128<float>> triples, int firstRow, Span<float> values)
    {
        int columns = layout.Columns;
        int columnBlock = layout.Tiles.ColumnBlock;
        int end = firstRow + (values.Length / columns);
        for (int start = 0; start < layout.TripleColumns; start += columnBlock)
        {
            for (int row = firstRow; row < end; row++)
            {
                Span<float> to = values.Slice((row - firstRow) * columns, columns);
                for (int c = 0; c < columnBlock; c += 24)
                {
                    (int magnitude, int sign) = TriplePlace(layout, start, c, row);
                    int word = BinaryPrimitives.ReadUInt16LittleEndian(signs[sign..]) << (row % 32 / 16);
                    for (int t = 0; t < 4; t++)
                    {
                        int both = magnitudes[magnitude + (32 * t)];
                        Store(triples[(both >> 4) | ((word >> 11) & 16)], 3, to, start + c + (6 * t));
                        Store(triples[(both & 15) | ((word >> 9) & 16)], 3, to, start + c + (6 * t) + 3);
                        word <<= 4;
                    }
                }
            }
        }
    }

    /// <summary>Row within a tile and column within a block of 16 bytes that begin <paramref name="part"/> values into the tile's part of the block: 16 rows, 4 columns of each; TL2 shuffles the rows.</summary>
    private static (int Row, int Column) PairPlace(in BitNetTableLayout layout, int part)
    {
        int by = layout.Triples ? 4 : 256 / layout.Tiles.RowTile;
        int strip = layout.Tiles.RowTile * by;
        int within = part % strip;
        return (within / (16 * by) * 16, (part / strip * by) + (within % (16 * by) / 16));
    }

    /// <summary>Where the first magnitude of 24 columns of a row lies, the next three being 32 bytes apart each, and their word of signs.</summary>
    private static (int Magnitude, int Sign) TriplePlace(in BitNetTableLayout layout, int start, int column, int row)
    {
        int tile = row & ~31;
        int values = (start * layout.Tiles.RowBlock) + (tile * layout.Tiles.ColumnBlock) + (column * 32);
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

    private static SearchValues<byte> Nibbles(int largest) =>
        SearchValues.Create([.. Enumerable.Range(0, 256).Where(b => (b >> 4) <= largest && (b & 15) <= largest).Select(b => (byte)b)]);
}
