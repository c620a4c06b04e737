using ModelPack.Compiler.Linear;

namespace ModelPack.Passes;

/// <summary>
/// Some rows of a weight, column by column, with the scales of their blocks: loops over a column run over all rows at once, each row by itself, so that results depend neither on the width of vectors nor on how
/// rows are cut into tiles. Weights of sparse matrices that are 0 stay 0 whatever errors of others would make of them, so that what <c>sparsify</c> dropped is not filled again.
/// </summary>
internal sealed class WeightTile : IDisposable
{
    private readonly NativeArray<float> _weights;
    private readonly float[] _scales;
    private readonly float[] _zeros;

    /// <summary>Which weights of a sparse matrix are 0, [K, rows]; null for others.</summary>
    private bool[]? _dropped;
    private float[] _held = [];

    /// <param name="format">The format.</param>
    /// <param name="columns">K.</param>
    /// <param name="capacity">Most rows.</param>
    public WeightTile(IFixedScaleFormat format, int columns, int capacity)
    {
        Format = format;
        Columns = columns;
        Blocks = (columns + format.BlockColumns - 1) / format.BlockColumns;
        Rows = capacity;
        _weights = new NativeArray<float>((long)columns * capacity);
        _scales = new float[Blocks * capacity];
        _zeros = new float[Blocks * capacity];
    }

    public IFixedScaleFormat Format { get; }

    /// <summary>K.</summary>
    public int Columns { get; }

    /// <summary>Blocks of a row.</summary>
    public int Blocks { get; }

    /// <summary>Rows in the tile.</summary>
    public int Rows { get; private set; }

    /// <summary>All weights, [K, rows].</summary>
    public ReadOnlySpan<float> Weights => _weights.Slice(0, Columns * Rows);

    /// <summary>A column of weights, [rows].</summary>
    public Span<float> Column(int column) => _weights.Slice((long)column * Rows, Rows);

    /// <summary>Scales of one block of all rows, [rows].</summary>
    public Span<float> Scales(int block) => _scales.AsSpan(block * Rows, Rows);

    /// <summary>Zero points of one block of all rows, [rows].</summary>
    public Span<float> Zeros(int block) => _zeros.AsSpan(block * Rows, Rows);

    /// <summary>The block of a column.</summary>
    public int BlockOf(int column) => column / Format.BlockColumns;

    /// <summary>Rounds values of one column onto its scales; in places of dropped weights, rounds 0.</summary>
    public void Round(int column, ReadOnlySpan<float> values, Span<byte> codes, Span<float> rounded)
    {
        int block = BlockOf(column);
        if (_dropped is not null)
        {
            values.CopyTo(_held);
            Drop(column, _held);
            values = _held;
        }

        Format.Round(values, Scales(block), Zeros(block), codes, rounded);
    }

    /// <summary>Takes rows over.</summary>
    /// <param name="values">[rows, K].</param>
    /// <param name="rows">At most the capacity.</param>
    /// <param name="sparse">True for those of a sparse matrix.</param>
    public void Load(ReadOnlySpan<float> values, int rows, bool sparse = false)
    {
        Rows = rows;
        _dropped = sparse ? new bool[rows * Columns] : null;
        _held = _dropped is null ? [] : new float[rows];
        for (int column = 0; column < Columns; column++)
        {
            Span<float> to = Column(column);
            for (int r = 0; r < to.Length; r++)
            {
                to[r] = values[(r * Columns) + column];
                if (_dropped is not null)
                {
                    _dropped[(column * rows) + r] = to[r] == 0;
                }
            }
        }
    }

    /// <summary>Gives the rows back, [rows, K]: weights as they are now, and 0 where they were dropped.</summary>
    public void CopyTo(Span<float> values)
    {
        float[] from = new float[Rows];
        for (int column = 0; column < Columns; column++)
        {
            Column(column).CopyTo(from);
            Drop(column, from);
            for (int r = 0; r < from.Length; r++)
            {
                values[(r * Columns) + column] = from[r];
            }
        }
    }

    /// <summary>Takes the scales of encoded rows over.</summary>
    public void LoadScales(ReadOnlySpan<ReadOnlyMemory<byte>> streams)
    {
        float[] scales = new float[Rows * Blocks];
        float[] zeros = new float[Rows * Blocks];
        Format.ReadScales(streams, Rows, scales, zeros);
        for (int r = 0; r < Rows; r++)
        {
            for (int b = 0; b < Blocks; b++)
            {
                _scales[(b * Rows) + r] = scales[(r * Blocks) + b];
                _zeros[(b * Rows) + r] = zeros[(r * Blocks) + b];
            }
        }
    }

    /// <summary>Writes the scales into the streams and takes over what they became there.</summary>
    public void StoreScales(ReadOnlySpan<Memory<byte>> streams)
    {
        float[] scales = new float[Rows * Blocks];
        float[] zeros = new float[Rows * Blocks];
        for (int r = 0; r < Rows; r++)
        {
            for (int b = 0; b < Blocks; b++)
            {
                scales[(r * Blocks) + b] = _scales[(b * Rows) + r];
                zeros[(r * Blocks) + b] = _zeros[(b * Rows) + r];
            }
        }

        Format.WriteScales(scales, zeros, Rows, streams);
        var written = new ReadOnlyMemory<byte>[streams.Length];
        for (int s = 0; s < written.Length; s++)
        {
            written[s] = streams[s];
        }

        LoadScales(written);
    }

    public void Dispose() => _weights.Dispose();

    private void Drop(int column, Span<float> values)
    {
        if (_dropped is null)
        {
            return;
        }

        ReadOnlySpan<bool> dropped = _dropped.AsSpan(column * Rows, Rows);
        for (int r = 0; r < dropped.Length; r++)
        {
            values[r] = dropped[r] ? 0 : values[r];
        }
    }
}
