using System.Buffers.Binary;

namespace ModelPack.Numbers;

/// <summary>
/// BitNet's lookup-table layouts TL1 and TL2, whole matrices one byte after the other in the order of a file: the oracle for the number formats <c>bitnet-tl1</c> and <c>bitnet-tl2</c>. See SPEC.md.
/// </summary>
/// <param name="Rows">M, a multiple of <paramref name="RowBlock"/>.</param>
/// <param name="Columns">K.</param>
/// <param name="RowBlock">BM, a multiple of <paramref name="RowTile"/>.</param>
/// <param name="ColumnBlock">BK (named BY in some sources).</param>
/// <param name="RowTile">bm: 32 for TL2; 16, 32 or 64 for TL1.</param>
public readonly record struct BitNetTables(int Rows, int Columns, int RowBlock, int ColumnBlock, int RowTile)
{
    /// <summary>Bytes of a TL1 matrix.</summary>
    public int Tl1Bytes => Rows * Columns / 4;

    /// <summary>Bytes of a TL2 matrix, its zero padding included.</summary>
    public int Tl2Bytes => Math.Max(Tl2Padded, Tl2Used);

    private int Tl2Padded => ((Columns - 256) * Rows / 3 * 5 / 8) + (256 * Rows / 2 * 4 / 8);

    private int Tl2Used => (Columns3 / 3 * Rows / 2) + (Columns3 / 3 * Rows / 8) + ((Columns - Columns3) * Rows / 4);

    /// <summary>The columns in triples: whole blocks.</summary>
    private int Columns3 => Columns - (Columns % ColumnBlock);

    /// <summary>Packs trits -1, 0, 1, row-major, as TL1.</summary>
    /// <exception cref="ModelPackException">MP1020: the block sizes do not fit the matrix or the buffers.</exception>
    public void PackTl1(ReadOnlySpan<sbyte> trits, Span<byte> packed)
    {
        CheckTl1(trits.Length, packed.Length);
        int at = 0;
        foreach ((int row, int column) in Tl1Order())
        {
            packed[at++] = (byte)((Pair(trits, row, column) << 4) | Pair(trits, row, column + 2));
        }
    }

    /// <summary>The inverse of <see cref="PackTl1"/>.</summary>
    /// <exception cref="ModelPackException">MP1020: sizes; MP1023: an index beyond 8.</exception>
    public void UnpackTl1(ReadOnlySpan<byte> packed, Span<sbyte> trits)
    {
        CheckTl1(trits.Length, packed.Length);
        int at = 0;
        foreach ((int row, int column) in Tl1Order())
        {
            byte both = packed[at++];
            SetPair(trits, row, column, both >> 4);
            SetPair(trits, row, column + 2, both & 15);
        }
    }

    /// <summary>Packs trits as TL2, zero padding included.</summary>
    /// <exception cref="ModelPackException">MP1020: the block sizes do not fit the matrix or the buffers.</exception>
    public void PackTl2(ReadOnlySpan<sbyte> trits, Span<byte> packed)
    {
        CheckTl2(trits.Length, packed.Length);
        packed.Clear();
        int at = 0;
        foreach ((int row, int column) in Tl2Order(0, Columns3, ColumnBlock, 3))
        {
            packed[at++] = (byte)((Math.Abs(Triple(trits, row, column)) << 4) | Math.Abs(Triple(trits, row, column + 3)));
        }

        foreach ((int row, int column) in SignOrder())
        {
            int signs = 0;
            for (int a = 0; a < 16; a++)
            {
                signs |= (Triple(trits, row + (16 * (a & 1)), column + (3 * (a >> 1))) < 0 ? 1 : 0) << (15 - a);
            }

            BinaryPrimitives.WriteUInt16LittleEndian(packed[at..], (ushort)signs);
            at += 2;
        }

        foreach ((int row, int column) in Tl2Order(Columns3, Columns, 32, 2))
        {
            packed[at++] = (byte)((Pair(trits, row, column) << 4) | Pair(trits, row, column + 2));
        }
    }

    /// <summary>The inverse of <see cref="PackTl2"/>.</summary>
    /// <exception cref="ModelPackException">MP1020: sizes; MP1023: an index that stands for no trits.</exception>
    public void UnpackTl2(ReadOnlySpan<byte> packed, Span<sbyte> trits)
    {
        CheckTl2(trits.Length, packed.Length);
        int[] triples = new int[Rows * (Columns3 / 3)];
        int perRow = Columns3 / 3;
        int at = 0;
        foreach ((int row, int column) in Tl2Order(0, Columns3, ColumnBlock, 3))
        {
            triples[(row * perRow) + (column / 3)] = packed[at] >> 4;
            triples[(row * perRow) + (column / 3) + 1] = packed[at++] & 15;
        }

        foreach ((int row, int column) in SignOrder())
        {
            int signs = BinaryPrimitives.ReadUInt16LittleEndian(packed[at..]);
            at += 2;
            for (int a = 0; a < 16; a++)
            {
                int index = ((row + (16 * (a & 1))) * perRow) + (column / 3) + (a >> 1);
                triples[index] = ((signs >> (15 - a)) & 1) == 1 ? -triples[index] : triples[index];
            }
        }

        for (int i = 0; i < triples.Length; i++)
        {
            SetTriple(trits, i / perRow, i % perRow * 3, triples[i]);
        }

        foreach ((int row, int column) in Tl2Order(Columns3, Columns, 32, 2))
        {
            byte both = packed[at++];
            SetPair(trits, row, column, both >> 4);
            SetPair(trits, row, column + 2, both & 15);
        }
    }

    private IEnumerable<(int Row, int Column)> Tl1Order()
    {
        int by = 256 / RowTile;
        for (int ib = 0; ib < Rows; ib += RowBlock)
        {
            for (int kb = 0; kb < Columns; kb += ColumnBlock)
            {
                for (int rb = 0; rb < RowBlock; rb += RowTile)
                {
                    for (int yb = 0; yb < ColumnBlock; yb += by)
                    {
                        for (int rg = 0; rg < RowTile; rg += 16)
                        {
                            for (int jq = 0; jq < by; jq += 4)
                            {
                                for (int r = 0; r < 16; r++)
                                {
                                    yield return (ib + rb + rg + r, kb + yb + jq);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// <summary>Rows in the order of the shuffles of 8: 0, 2, 1, 3, then as they come.</summary>
    private IEnumerable<(int Row, int Column)> Tl2Order(int firstColumn, int endColumn, int columnBlock, int group)
    {
        int by = group == 3 ? 192 / RowTile : 4;
        for (int ib = 0; ib < Rows; ib += RowBlock)
        {
            for (int kb = firstColumn; kb < endColumn; kb += columnBlock)
            {
                for (int rb = 0; rb < RowBlock; rb += RowTile)
                {
                    for (int yb = 0; yb < columnBlock; yb += by)
                    {
                        for (int b = 0; b < RowTile; b++)
                        {
                            int eight = (b / 8) switch
                            {
                                1 => 2,
                                2 => 1,
                                int other => other,
                            };
                            yield return (ib + rb + (8 * eight) + (b % 8), kb + yb);
                        }
                    }
                }
            }
        }
    }

    private IEnumerable<(int Row, int Column)> SignOrder()
    {
        int by = 192 / RowTile;
        for (int ib = 0; ib < Rows; ib += RowBlock)
        {
            for (int kb = 0; kb < Columns3; kb += ColumnBlock)
            {
                for (int rb = 0; rb < RowBlock; rb += RowTile)
                {
                    for (int y = 0; y < ColumnBlock / (4 * by); y++)
                    {
                        for (int b = 0; b < RowTile / 2; b++)
                        {
                            yield return (ib + rb + b, kb + (24 * y));
                        }
                    }
                }
            }
        }
    }

    /// <summary>3a + b + 4, 0 to 8.</summary>
    private int Pair(ReadOnlySpan<sbyte> trits, int row, int column)
    {
        int at = (row * Columns) + column;
        return (3 * trits[at]) + trits[at + 1] + 4;
    }

    private void SetPair(Span<sbyte> trits, int row, int column, int code)
    {
        if (code > 8)
        {
            throw new ModelPackException(ErrorCodes.BadStream, $"a pair of trits cannot have index {code}");
        }

        int at = (row * Columns) + column;
        trits[at] = (sbyte)((code / 3) - 1);
        trits[at + 1] = (sbyte)((code % 3) - 1);
    }

    /// <summary>9a + 3b + c, -13 to 13.</summary>
    private int Triple(ReadOnlySpan<sbyte> trits, int row, int column)
    {
        int at = (row * Columns) + column;
        return (9 * trits[at]) + (3 * trits[at + 1]) + trits[at + 2];
    }

    private void SetTriple(Span<sbyte> trits, int row, int column, int value)
    {
        if (value is < -13 or > 13)
        {
            throw new ModelPackException(ErrorCodes.BadStream, $"three trits cannot have index {value}");
        }

        int at = (row * Columns) + column;
        int code = value + 13;
        trits[at] = (sbyte)((code / 9) - 1);
        trits[at + 1] = (sbyte)((code / 3 % 3) - 1);
        trits[at + 2] = (sbyte)((code % 3) - 1);
    }

    private void CheckTl1(int trits, int packed)
    {
        bool fits = IsPlausible && RowTile is 16 or 32 or 64 && RowBlock % RowTile == 0 && Rows % RowBlock == 0
            && Columns % ColumnBlock == 0 && ColumnBlock % (256 / RowTile) == 0;
        Check(fits, trits, packed, fits ? Tl1Bytes : 0);
    }

    private void CheckTl2(int trits, int packed)
    {
        // Signs are kept in words of 8 triples of 24 columns; what does not fill a block is kept in pairs, 32 columns at a time.
        bool fits = IsPlausible && RowTile == 32 && RowBlock % RowTile == 0 && Rows % RowBlock == 0
            && ColumnBlock % 24 == 0 && (Columns - Columns3) % 32 == 0;
        Check(fits, trits, packed, fits ? Tl2Bytes : 0);
    }

    private bool IsPlausible => Rows > 0 && Columns > 0 && RowBlock > 0 && ColumnBlock > 0 && RowTile > 0 && (long)Rows * Columns <= 1 << 30;

    private void Check(bool fits, int trits, int packed, int bytes)
    {
        if (!fits || trits != Rows * Columns || packed != bytes)
        {
            throw new ModelPackException(
                ErrorCodes.BadEncoding, $"a ternary matrix [{Rows},{Columns}] in blocks of {RowBlock}x{ColumnBlock}, tiles of {RowTile} rows, does not have {trits} trits in {packed} bytes");
        }
    }
}
