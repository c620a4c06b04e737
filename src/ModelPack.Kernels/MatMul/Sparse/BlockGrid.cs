namespace ModelPack.Kernels.MatMul;

/// <summary>Which blocks of a matrix are stored, as compressed rows of blocks made from a mask.</summary>
internal sealed class BlockGrid
{
    private readonly int[] _first;
    private readonly int[] _columns;

    private BlockGrid(int blockRows, int blockColumns, int[] first, int[] columns)
    {
        BlockRows = blockRows;
        BlockColumns = blockColumns;
        _first = first;
        _columns = columns;
    }

    /// <summary>Rows of a block.</summary>
    public int BlockRows { get; }

    /// <summary>Columns of a block.</summary>
    public int BlockColumns { get; }

    /// <summary>Rows of blocks.</summary>
    public int Rows => _first.Length - 1;

    /// <summary>Blocks stored.</summary>
    public int Stored => _columns.Length;

    /// <param name="mask">A bit per block, lowest first, rows padded to bytes.</param>
    /// <param name="rows">Rows of blocks.</param>
    /// <param name="columns">Blocks in a row.</param>
    /// <param name="blockRows">Rows of a block.</param>
    /// <param name="blockColumns">Columns of a block.</param>
    public static BlockGrid Of(ReadOnlySpan<byte> mask, int rows, int columns, int blockRows, int blockColumns)
    {
        int[] first = new int[rows + 1];
        var stored = new List<int>();
        int rowBytes = (columns + 7) / 8;
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<byte> bits = mask.Slice(r * rowBytes, rowBytes);
            for (int c = 0; c < columns; c++)
            {
                if (((bits[c / 8] >> (c % 8)) & 1) != 0)
                {
                    stored.Add(c);
                }
            }

            first[r + 1] = stored.Count;
        }

        return new BlockGrid(blockRows, blockColumns, first, [.. stored]);
    }

    /// <summary>Columns of the blocks of a row, ascending.</summary>
    public ReadOnlySpan<int> Columns(int row) => _columns.AsSpan(_first[row].._first[row + 1]);

    /// <summary>Number of a block among those stored; -1 when it is not.</summary>
    public int Find(int row, int column)
    {
        int at = row < Rows ? Columns(row).BinarySearch(column) : -1;
        return at < 0 ? -1 : _first[row] + at;
    }
}
