namespace ModelPack.Kernels.MatMul;

/// <summary>The rows of one stripe, made of the stored blocks that it meets: each of these is a row of the values in their number format.</summary>
internal sealed class SparseRows : CodeRows
{
    private readonly BlockGrid _grid;
    private readonly int _firstRow;
    private readonly int _firstBlockRow;
    private readonly int[] _starts;
    private readonly int _runColumns;
    private readonly int _groupColumns;
    private readonly int _columns;
    private readonly int _width;
    private readonly int _blockScales;
    private readonly int _sourceBlock;
    private readonly int[] _slots;
    private readonly byte[] _codes;
    private readonly float[] _scales;
    private readonly byte[] _zeros;

    /// <param name="source">Blocks as rows.</param>
    /// <param name="grid">Which are stored.</param>
    /// <param name="streams">Addresses of the streams of the values.</param>
    /// <param name="firstRow">First row of the stripe.</param>
    /// <param name="rows">Rows of the stripe.</param>
    /// <param name="starts">First inputs of its runs.</param>
    /// <param name="runColumns">Columns of a run.</param>
    /// <param name="groupColumns">Columns that share a scale in the execution layout.</param>
    /// <param name="columns">Columns of the matrix.</param>
    public SparseRows(CodeRows source, BlockGrid grid, ReadOnlySpan<nint> streams, int firstRow, int rows, ReadOnlySpan<int> starts, int runColumns, int groupColumns, int columns)
    {
        (_grid, _firstRow, _starts, _runColumns, _groupColumns, _columns) = (grid, firstRow, starts.ToArray(), runColumns, groupColumns, columns);
        _width = Math.Max(1, source.Bits / 8);
        int blockValues = grid.BlockRows * grid.BlockColumns;
        _sourceBlock = source.Block == 0 ? blockValues : source.Block;
        bool scaled = source.Scale != TileScale.None;
        _blockScales = scaled || source.HasZeros ? (blockValues + _sourceBlock - 1) / _sourceBlock : 0;
        _firstBlockRow = firstRow / grid.BlockRows;
        int blockRows = ((firstRow + rows - 1) / grid.BlockRows) - _firstBlockRow + 1;
        int perRun = runColumns / grid.BlockColumns;
        _slots = new int[blockRows * starts.Length * perRun];
        int[] stored = new int[_slots.Length];
        int used = 0;
        for (int i = 0; i < _slots.Length; i++)
        {
            int run = i / perRun % starts.Length;
            int block = grid.Find(_firstBlockRow + (i / (perRun * starts.Length)), (starts[run] / grid.BlockColumns) + (i % perRun));
            _slots[i] = block < 0 ? -1 : used;
            if (block >= 0)
            {
                stored[used++] = block;
            }
        }

        _codes = new byte[used * blockValues * _width];
        _scales = new float[scaled ? used * _blockScales : 0];
        _zeros = new byte[source.HasZeros ? used * _blockScales : 0];
        for (int slot = 0; slot < used; slot++)
        {
            source.Read(
                streams,
                stored[slot],
                _codes.AsSpan(slot * blockValues * _width, blockValues * _width),
                scaled ? _scales.AsSpan(slot * _blockScales, _blockScales) : [],
                source.HasZeros ? _zeros.AsSpan(slot * _blockScales, _blockScales) : []);
        }
    }

    public override IReadOnlyList<string> Roles => [];

    /// <summary>A row of the stripe: what no block fills has codes, scales and zero points 0.</summary>
    public override void Read(ReadOnlySpan<nint> streams, long row, Span<byte> codes, Span<float> scales, Span<byte> zeros)
    {
        codes.Clear();
        scales.Clear();
        zeros.Clear();
        int absolute = _firstRow + (int)row;
        int inside = absolute % _grid.BlockRows;
        int perRun = _runColumns / _grid.BlockColumns;
        int slots = ((absolute / _grid.BlockRows) - _firstBlockRow) * _starts.Length * perRun;
        for (int run = 0; run < _starts.Length; run++)
        {
            for (int b = 0; b < perRun; b++)
            {
                int slot = _slots[slots + (run * perRun) + b];
                int column = (run * _runColumns) + (b * _grid.BlockColumns);
                int count = Math.Min(_grid.BlockColumns, _columns - (_starts[run] + (b * _grid.BlockColumns)));
                if (slot >= 0)
                {
                    Copy(slot, inside, column, count, codes, scales, zeros);
                }
            }
        }
    }

    private void Copy(int slot, int inside, int column, int count, Span<byte> codes, Span<float> scales, Span<byte> zeros)
    {
        int first = inside * _grid.BlockColumns;
        int blockValues = _grid.BlockRows * _grid.BlockColumns;
        _codes.AsSpan(((slot * blockValues) + first) * _width, count * _width).CopyTo(codes[(column * _width)..]);
        for (int at = 0; at < _grid.BlockColumns && _blockScales > 0; at += _groupColumns)
        {
            int from = (slot * _blockScales) + ((first + at) / _sourceBlock);
            int to = (column + at) / _groupColumns;
            if (scales.Length > 0)
            {
                scales[to] = _scales[from];
            }

            if (zeros.Length > 0)
            {
                zeros[to] = _zeros[from];
            }
        }
    }
}
