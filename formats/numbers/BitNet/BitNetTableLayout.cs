namespace ModelPack.Numbers;

/// <summary>Sizes of a matrix in TL1 or TL2. Rows and columns are padded with zeros to whole tiles.</summary>
/// <param name="Shape">[groups of rows, values of a group]: a group is a block of BM rows, or all rows where they are no whole blocks.</param>
/// <param name="Tiles">How the kernel cuts it.</param>
/// <param name="Columns">K.</param>
/// <param name="Blocks">Blocks of BM rows in a group.</param>
/// <param name="TripleColumns">Padded columns in threes: none for TL1.</param>
/// <param name="PairColumns">Padded columns in pairs, behind them.</param>
internal readonly record struct BitNetTableLayout(Shape Shape, BitNetTiles Tiles, int Columns, int Blocks, int TripleColumns, int PairColumns)
{
    /// <summary>Columns of a block of pairs.</summary>
    public int PairBlock => Triples ? 32 : Tiles.ColumnBlock;

    /// <summary>True for TL2.</summary>
    public bool Triples { get; private init; }

    /// <summary>Rows of a group.</summary>
    public int GroupRows => Columns == 0 ? 0 : (int)(Shape.Columns / Columns);

    /// <summary>Bytes of the pairs, of the magnitudes of threes and of their signs, per block of BM rows.</summary>
    public int PairBytes => Tiles.RowBlock * PairColumns / 4;

    public int MagnitudeBytes => Tiles.RowBlock * TripleColumns / 6;

    public int SignBytes => Tiles.RowBlock * TripleColumns / 24;

    /// <exception cref="ModelPackException">MP1020: the shape is too large.</exception>
    public static BitNetTableLayout Of(string id, Shape shape, BitNetTiles tiles, bool triples)
    {
        long columns = shape.Columns;
        bool whole = columns == 0 || shape.Rows % tiles.RowBlock == 0;
        long group = columns == 0 ? 0 : whole ? tiles.RowBlock : shape.Rows;
        var grouped = columns == 0 ? shape : new Shape(shape.Rows / group, group * columns);
        long multiple = triples ? 32 : tiles.ColumnBlock;
        long padded = (columns + multiple - 1) / multiple * multiple;
        long threes = triples ? padded - (padded % tiles.ColumnBlock) : 0;
        if (grouped.Columns > RowLimits.MaxColumns || padded * tiles.RowBlock > RowLimits.MaxColumns)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{id}': shape {shape} is too large for tiles of {tiles}");
        }

        int blocks = (int)((group + tiles.RowBlock - 1) / tiles.RowBlock);
        return new BitNetTableLayout(grouped, tiles, (int)columns, blocks, (int)threes, (int)(padded - threes)) { Triples = triples };
    }
}
