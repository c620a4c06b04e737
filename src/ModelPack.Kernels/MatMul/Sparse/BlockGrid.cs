namespace ModelPack.Kernels.MatMul;

/// <summary>Which blocks of a matrix are stored, as compressed rows of blocks made from a mask.</summary>
internal sealed class BlockGrid
{
    private readonly int[] _first;
    private readonly int[] _columns;
    private readonly int[]? _numbers;
    private readonly int _gridColumns;

    private BlockGrid(int blockRows, int blockColumns, int gridColumns, int[] first, int[] columns, int[]? numbers)
    {
        _gridColumns = gridColumns;
        _numbers = numbers;
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

        return new BlockGrid(blockRows, blockColumns, columns, first, [.. stored], null);
    }

    /// <summary>Columns of the blocks of a row, ascending.</summary>
    public ReadOnlySpan<int> Columns(int row) => _columns.AsSpan(_first[row].._first[row + 1]);

    /// <summary>Number of a block among those stored; -1 when it is not.</summary>
    public int Find(int row, int column)
    {
        int at = row < Rows ? Columns(row).BinarySearch(column) : -1;
        return at < 0 ? -1 : _numbers is null ? _first[row] + at : _numbers[_first[row] + at];
    }

    /// <summary>The blocks of the transposed matrix, each under the number that it is stored by.</summary>
    public BlockGrid Transpose()
    {
        int[] first = new int[_gridColumns + 1];
        foreach (int column in _columns)
        {
            first[column + 1]++;
        }

        for (int i = 0; i < _gridColumns; i++)
        {
            first[i + 1] += first[i];
        }

        int[] next = first[..^1];
        int[] columns = new int[Stored];
        int[] numbers = new int[Stored];
        for (int row = 0; row < Rows; row++)
        {
            foreach (int column in Columns(row))
            {
                numbers[next[column]] = Find(row, column);
                columns[next[column]++] = row;
            }
        }

        return new BlockGrid(BlockColumns, BlockRows, Rows, first, columns, numbers);
    }

    /// <summary>A bit per block, lowest first, rows padded to bytes.</summary>
    public byte[] Mask()
    {
        int rowBytes = (_gridColumns + 7) / 8;
        byte[] mask = new byte[Rows * rowBytes];
        for (int row = 0; row < Rows; row++)
        {
            foreach (int column in Columns(row))
            {
                mask[(row * rowBytes) + (column / 8)] |= (byte)(1 << (column % 8));
            }
        }

        return mask;
    }
}
