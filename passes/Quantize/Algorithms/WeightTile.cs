using ModelPack.Compiler.Linear;

namespace ModelPack.Passes;

/// <summary>
/// Some rows of a weight, column by column, with the scales of their blocks: loops over a column run over all rows at once, each row by itself, so that results depend neither on the width of vectors nor on how
/// rows are cut into tiles.
/// </summary>
internal sealed class WeightTile : IDisposable
{
    private readonly NativeArray<float> _weights;
    private readonly float[] _scales;
    private readonly float[] _zeros;

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

    /// <summary>Rounds values of one column onto its scales.</summary>
    public void Round(int column, ReadOnlySpan<float> values, Span<byte> codes, Span<float> rounded)
    {
        int block = BlockOf(column);
        Format.Round(values, Scales(block), Zeros(block), codes, rounded);
    }

    /// <summary>Takes rows over.</summary>
    /// <param name="values">[rows, K].</param>
    /// <param name="rows">At most the capacity.</param>
    public void Load(ReadOnlySpan<float> values, int rows)
    {
        Rows = rows;
        for (int column = 0; column < Columns; column++)
        {
            Span<float> to = Column(column);
            for (int r = 0; r < to.Length; r++)
            {
                to[r] = values[(r * Columns) + column];
            }
        }
    }

    /// <summary>Gives the rows back, [rows, K].</summary>
    public void CopyTo(Span<float> values)
    {
        for (int column = 0; column < Columns; column++)
        {
            ReadOnlySpan<float> from = Column(column);
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
}
