using System.Globalization;
using System.Numerics;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// A block-sparse weight matrix [outputs, inputs] in its execution layout. Outputs are cut into <i>stripes</i> of 32 or 16 rows; the blocks that a stripe meets are one matrix of these rows whose columns are <i>runs</i> of
/// the inputs, in tiles as of a dense weight (<see cref="TileLayout"/>), one stripe after the other. So one contiguous stream is read per stripe, and kernels differ from dense ones in where they find activations.
/// Blocks of fewer rows than a stripe, or whose columns are no multiple of 16, share runs: what a run has beyond them is zero. Thread-safe.
/// </summary>
/// <remarks>Stored form: formats/structures/BlockSparse/SPEC.md. Layout in contiguous panels after BLaST (arXiv 2507.03117), which reads block columns the same way.</remarks>
public sealed unsafe class SparseWeight : IDisposable
{
    private const int WideStripe = 32;

    private const int UnitColumns = 16;

    private readonly CodeRows _source;
    private readonly MatMulWeight _values;
    private readonly BlockGrid _grid;
    private readonly int[] _firstRun;
    private readonly int[] _runStarts;
    private readonly TileLayout[] _layouts;
    private readonly TileWeight[] _weights;
    private readonly long[] _offsets;

    private SparseWeight(UnitSpec format, CodeRows source, MatMulWeight values, BlockGrid grid, int rows, int columns)
    {
        Format = format;
        _source = source;
        _values = values;
        _grid = grid;
        Rows = rows;
        Columns = columns;
        Stripes = (int)(((long)rows + StripeRows - 1) / StripeRows);
        _firstRun = new int[Stripes + 1];
        _offsets = new long[Stripes + 1];
        _layouts = new TileLayout[Stripes];
        _weights = new TileWeight[Stripes];
        var starts = new List<int>();
        bool[] met = new bool[Runs];
        for (int s = 0; s < Stripes; s++)
        {
            Meet(s, met, starts);
            _firstRun[s + 1] = starts.Count;
            TileLayout one = values.Layout;
            int units = (starts.Count - _firstRun[s]) * one.Units;
            _layouts[s] = one with { Columns = units * one.UnitColumns, BlockUnits = one.Scale == TileScale.None && !one.HasZeros ? Math.Max(1, units) : one.BlockUnits };
            _weights[s] = values.TileOf(_layouts[s]);
            _offsets[s + 1] = _offsets[s] + (TilesPerStripe * _layouts[s].TileBytes);
        }

        _runStarts = [.. starts];
    }

    /// <summary>Number format of the values.</summary>
    public UnitSpec Format { get; }

    /// <summary>Outputs.</summary>
    public int Rows { get; }

    /// <summary>Inputs.</summary>
    public int Columns { get; }

    /// <summary>Rows of a block.</summary>
    public int BlockRows => _grid.BlockRows;

    /// <summary>Columns of a block.</summary>
    public int BlockColumns => _grid.BlockColumns;

    /// <summary>Blocks that are stored.</summary>
    public int StoredBlocks => _grid.Stored;

    /// <summary>Stripes.</summary>
    public int Stripes { get; }

    /// <summary>Bytes of the execution layout.</summary>
    public long Bytes => _offsets[^1];

    /// <summary>Multiplications per row of activations: those of stored values, and of zeros beside them in their runs.</summary>
    public double Multiplications => (double)_runStarts.Length * RunColumns * StripeRows;

    /// <summary><see cref="Multiplications"/> over those of the dense matrix.</summary>
    public double Density => Multiplications / ((double)Rows * Columns);

    /// <summary>Roles of the streams of the values that <see cref="Pack"/> reads, in its order.</summary>
    public IReadOnlyList<string> Roles => _source.Roles;

    /// <summary>Tells kernels what the values are; its layout is that of one run.</summary>
    internal MatMulWeight Values => _values;

    /// <summary>A bit per block, rows of blocks padded to bytes.</summary>
    internal byte[] Mask => _grid.Mask();

    /// <summary>Rows of a stripe: a multiple of those of a tile.</summary>
    internal int StripeRows => _values.Layout.Rows;

    /// <summary>Columns of a run.</summary>
    internal int RunColumns => _values.Layout.Columns;

    /// <summary>Runs of a stripe without gaps.</summary>
    internal int Runs => (int)(((long)Columns + RunColumns - 1) / RunColumns);

    internal int TilesPerStripe => StripeRows / TileLayout.TileRows;

    /// <summary>First inputs of the runs of all stripes.</summary>
    internal int[] RunStarts => _runStarts;

    /// <summary>Recognises a weight.</summary>
    /// <param name="structure"><c>blocksparse(block=RxC)</c>.</param>
    /// <param name="format">Number format of the values.</param>
    /// <param name="rows">Outputs.</param>
    /// <param name="columns">Inputs.</param>
    /// <param name="mask">A bit per block, rows of blocks padded to bytes.</param>
    /// <param name="transposed">True when structure and mask are those of the transposed matrix [inputs, outputs]; plain values only.</param>
    /// <returns>Null when no kernel reads it.</returns>
    /// <exception cref="ModelPackException">MP1022: a wrong argument of the format.</exception>
    public static SparseWeight? TryCreate(UnitSpec structure, UnitSpec format, int rows, int columns, ReadOnlySpan<byte> mask, bool transposed = false)
    {
        if (rows <= 0 || columns <= 0 || !TryBlock(structure, out int blockRows, out int blockColumns) || Source(format, blockRows * blockColumns) is not CodeRows source)
        {
            return null;
        }

        bool plain = source.Bits > 8;
        if (transposed && !plain)
        {
            return null;
        }

        var grid = transposed
            ? BlockGrid.Of(mask, ((columns - 1) / blockRows) + 1, ((rows - 1) / blockColumns) + 1, blockRows, blockColumns).Transpose()
            : BlockGrid.Of(mask, ((rows - 1) / blockRows) + 1, ((columns - 1) / blockColumns) + 1, blockRows, blockColumns);
        source = transposed ? new TransposedRows(source, blockRows, blockColumns) { Bits = source.Bits, Words = source.Words, Block = source.Block, Scale = source.Scale } : source;
        (blockRows, blockColumns) = (grid.BlockRows, grid.BlockColumns);
        bool scaled = source.Scale != TileScale.None || source.HasZeros;
        int run = plain ? blockColumns / (int)BigInteger.GreatestCommonDivisor(blockColumns, UnitColumns) * UnitColumns : blockColumns;
        int block = !scaled ? 0 : source.Block == 0 ? blockColumns : blockColumns % source.Block == 0 ? source.Block : source.Block % blockColumns == 0 ? blockColumns : -1;

        // Places of a stripe without a block have scale 0 or plain values; without either they must not occur.
        bool gaps = blockRows % TileLayout.TileRows != 0;
        if (run > FloatMatMul<Simd128, Codes8, LinearValues>.PanelColumns || block < 0 || (gaps && !scaled && !plain))
        {
            return null;
        }

        int stripe = blockRows % WideStripe == 0 ? WideStripe : TileLayout.TileRows;
        MatMulWeight values = Run(format, source, stripe, run, block);
        TileLayout layout = values.Layout;
        if (run % layout.UnitColumns != 0 || block % layout.UnitColumns != 0 || (scaled && run % (layout.BlockUnits * layout.UnitColumns) != 0))
        {
            values.Dispose();
            return null;
        }

        return new SparseWeight(format, source, values, grid, rows, columns);
    }

    /// <summary>A run of a stripe. Its scales are f32 also where they are stored as f16: stripes have few, and the length of the layout stays what artifacts say.</summary>
    private static MatMulWeight Run(UnitSpec format, CodeRows source, int rows, int columns, int block)
    {
        var values = MatMulWeight.Of(format, source, rows, columns, block);
        if (values.WithF32Scales() is not MatMulWeight wide)
        {
            return values;
        }

        values.Dispose();
        return wide;
    }

    /// <summary>Packs stripes.</summary>
    /// <param name="streams">Addresses of the decoded streams of the values, in the order of <see cref="Roles"/>.</param>
    /// <param name="first">First stripe.</param>
    /// <param name="count">Their number.</param>
    /// <param name="destination">Start of the execution layout of the whole matrix, <see cref="Bytes"/> long, at a multiple of 64.</param>
    public void Pack(ReadOnlySpan<nint> streams, int first, int count, nint destination)
    {
        for (int s = first; s < first + count; s++)
        {
            var rows = Read(streams, s);
            for (int t = 0; t < TilesPerStripe; t++)
            {
                TilePacker.Pack(rows, _layouts[s], [], t, (byte*)destination + _offsets[s] + (t * _layouts[s].TileBytes));
            }
        }
    }

    /// <summary>Frees the tables; nothing may run with them afterwards.</summary>
    public void Dispose() => _values.Dispose();

    /// <summary>Where the tiles of a stripe begin.</summary>
    internal long Offset(int stripe) => _offsets[stripe];

    /// <summary>The tiles of a stripe.</summary>
    internal ref readonly TileWeight Weight(int stripe) => ref _weights[stripe];

    /// <summary>First of the runs of a stripe; that of the next stripe is their end.</summary>
    internal int FirstRun(int stripe) => _firstRun[stripe];

    private static CodeRows? Source(UnitSpec format, int columns) => PlainRows.TryCreate(format, columns)
        ?? (CodeRowsCatalog.All.TryGetValue(format.Id, out Func<UnitSpec, int, CodeRows?>? create) ? create(format, columns) : null);

    private static bool TryBlock(UnitSpec structure, out int rows, out int columns)
    {
        string[] edges = structure.Text("block", "").Split('x');
        columns = 0;
        rows = 0;
        return structure.Id == "blocksparse" && edges.Length == 2
            && int.TryParse(edges[0], NumberStyles.None, CultureInfo.InvariantCulture, out rows) && int.TryParse(edges[1], NumberStyles.None, CultureInfo.InvariantCulture, out columns)
            && rows is > 0 and <= 256 && columns is > 0 and <= 256;
    }

    private SparseRows Read(ReadOnlySpan<nint> streams, int stripe) =>
        new(_source, _grid, streams, stripe * StripeRows, StripeRows, _runStarts.AsSpan(_firstRun[stripe].._firstRun[stripe + 1]), RunColumns, _values.Layout.BlockUnits * _values.Layout.UnitColumns, Columns)
        {
            Bits = _source.Bits,
            Words = _source.Words,
            Block = _source.Block,
            Scale = _source.Scale,
        };

    /// <summary>Adds the runs that a stripe meets.</summary>
    private void Meet(int stripe, bool[] met, List<int> starts)
    {
        met.AsSpan().Clear();
        int last = Math.Min(_grid.Rows - 1, (int)((((stripe + 1L) * StripeRows) - 1) / BlockRows));
        for (int r = stripe * StripeRows / BlockRows; r <= last; r++)
        {
            foreach (int column in _grid.Columns(r))
            {
                met[column * BlockColumns / RunColumns] = true;
            }
        }

        for (int run = 0; run < met.Length; run++)
        {
            if (met[run])
            {
                starts.Add(run * RunColumns);
            }
        }
    }
}
