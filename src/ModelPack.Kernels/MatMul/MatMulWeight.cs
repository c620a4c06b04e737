using System.Runtime.InteropServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// A weight matrix [outputs, inputs] in a number format that the kernels read without expanding it: its execution layout, how its stored streams become that layout, and what its codes mean. Thread-safe.
/// </summary>
public sealed unsafe class MatMulWeight : IDisposable
{
    /// <summary>Integer sums of a block stay below 2^31.</summary>
    private const int MaxIntegerBlock = 65536;

    /// <summary>Values of a table; behind them lie the upper, then the lower bytes of their BF16 values.</summary>
    internal const int TableLength = 256;

    private const int ByteTableLength = 64;

    private readonly CodeRows _rows;
    private readonly IntegerValues? _integers;
    private readonly float* _table;
    private readonly byte* _bytes;
    private int _disposed;

    /// <summary>The values of codes that are integers.</summary>
    private static float[] LinearTable(CodeRows rows)
    {
        float[] table = new float[1 << rows.Bits];
        for (int code = 0; code < table.Length; code++)
        {
            table[code] = code - rows.Zero;
        }

        return table;
    }

    private MatMulWeight(UnitSpec format, CodeRows rows, TileLayout layout)
    {
        Format = format;
        Layout = layout;
        _rows = rows;
        Kind = KindOf(rows);
        float[]? table = rows.Table ?? (Kind == ValueKind.Table16 ? LinearTable(rows) : null);
        if (table is null)
        {
            return;
        }

        // 256 values, then the upper and the lower bytes of their upper halves.
        _table = (float*)NativeMemory.AlignedAlloc((TableLength * sizeof(float)) + (2 * TableLength), 64);
        byte* planes = (byte*)(_table + TableLength);
        for (int i = 0; i < TableLength; i++)
        {
            _table[i] = table[i % table.Length];
            uint bits = BitConverter.SingleToUInt32Bits(_table[i]);
            planes[i] = (byte)(bits >> 24);
            planes[TableLength + i] = (byte)(bits >> 16);
        }

        if (rows.Table is not null && Kind == ValueKind.Table16 && IntegerValues.Of(table) is IntegerValues integers)
        {
            _integers = integers;
            _bytes = (byte*)NativeMemory.AlignedAlloc(ByteTableLength, 64);
            for (int i = 0; i < ByteTableLength; i += integers.Bytes.Length)
            {
                integers.Bytes.CopyTo(new Span<byte>(_bytes + i, integers.Bytes.Length));
            }
        }
    }

    ~MatMulWeight() => Free();

    /// <summary>The number format.</summary>
    public UnitSpec Format { get; }

    /// <summary>The execution layout.</summary>
    public TileLayout Layout { get; }

    /// <summary>Roles of the stored streams that <see cref="Pack"/> reads, in its order.</summary>
    public IReadOnlyList<string> Roles => _rows.Roles;

    /// <summary>True when there are kernels that round activations to 8 bits and multiply integers.</summary>
    public bool HasIntegerKernel => Layout.Bits <= 8 && (_rows.Table is null || _integers is not null) && (long)Layout.BlockUnits * Layout.UnitColumns <= MaxIntegerBlock;

    /// <summary>
    /// True when there are kernels that round activations to BF16 and take values as they are, which BF16 holds exactly: for weights that have no integer kernel.
    /// </summary>
    public bool HasBFloat16Kernel => !HasIntegerKernel && Kind switch
    {
        ValueKind.Half or ValueKind.Posit1 or ValueKind.Posit2 => false,
        ValueKind.Plain => Layout.Bits == 16,
        ValueKind.Linear => true,
        _ => _rows.HasFixedTable && Array.TrueForAll(_rows.Table ?? [], v => (BitConverter.SingleToUInt32Bits(v) & 0xFFFF) == 0),
    };

    /// <summary>Of the integer kernels: largest error of a weight, relative to the largest of its block; 0 when codes are integers.</summary>
    public float IntegerWeightError => _integers?.Error ?? 0;

    /// <summary>Bytes of the execution layout.</summary>
    public long Bytes => Layout.Bytes;

    /// <summary>What the kernels are given.</summary>
    internal TileWeight Tile => TileOf(Layout);

    /// <summary>The same for tiles of another size.</summary>
    internal TileWeight TileOf(in TileLayout layout) => new(
        layout,
        _table,
        _bytes,
        _rows.Zero,
        _integers?.Zero ?? _rows.Zero,
        _rows.Multiplier,
        _rows.Multiplier * (_integers?.Unit ?? 1));

    /// <summary>How codes become values.</summary>
    internal ValueKind Kind { get; }

    /// <summary>True when codes are indices, not integers.</summary>
    internal bool IsTableOnly => _rows.Table is not null;

    /// <summary>True when integer kernels multiply entries of a table instead of codes.</summary>
    internal bool HasIntegerTable => _integers is not null;

    /// <summary>The largest byte that integer kernels multiply.</summary>
    internal int LargestByte => _integers?.Bytes.Max() ?? (1 << _rows.Bits) - 1;

    /// <summary>Whether kernels read activations of this weight and another in the same form.</summary>
    internal bool PreparesAs(MatMulWeight other) =>
        Layout with { Rows = 0 } == other.Layout with { Rows = 0 } && Kind == other.Kind && HasIntegerTable == other.HasIntegerTable && Tile.ByteZero == other.Tile.ByteZero;

    /// <summary>
    /// Recognises a number format. What is only known once the tensor is encoded, such as the scale of a whole tensor, does not change the layout: until then a weight can be planned, but its values are meaningless.
    /// </summary>
    /// <param name="format">The format with its arguments.</param>
    /// <param name="rows">Outputs.</param>
    /// <param name="columns">Inputs; blocks run along them.</param>
    /// <returns>Null when no kernel reads it.</returns>
    /// <exception cref="ModelPackException">MP1022: a wrong argument.</exception>
    public static MatMulWeight? TryCreate(UnitSpec format, int rows, int columns)
    {
        if (rows <= 0 || columns <= 0 || !CodeRowsCatalog.All.TryGetValue(format.Id, out Func<UnitSpec, int, CodeRows?>? create) || create(format, columns) is not CodeRows source)
        {
            return null;
        }

        return Of(format, source, rows, columns, source.Block);
    }

    /// <summary>The same for a stored matrix [outputs, inputs]; null also where it is too large to be counted.</summary>
    public static MatMulWeight? TryCreate(DenseEncoding matrix) =>
        matrix.Shape.Rows <= int.MaxValue && matrix.Shape.Columns <= int.MaxValue ? TryCreate(matrix.Format, (int)matrix.Shape.Rows, (int)matrix.Shape.Columns) : null;

    /// <summary>A weight whose rows come from elsewhere.</summary>
    /// <param name="format">The number format.</param>
    /// <param name="source">The rows.</param>
    /// <param name="rows">Their number.</param>
    /// <param name="columns">Their length.</param>
    /// <param name="block">Columns that share a scale; 0 for all.</param>
    internal static MatMulWeight Of(UnitSpec format, CodeRows source, int rows, int columns, int block)
    {
        // Single bits fill a vector only in units of 32 columns; one bit alone has no kernel.
        int bits = Math.Max(2, source.Bits);
        if ((bits & 1) != 0 && block % 32 != 0)
        {
            bits = bits == 3 ? 4 : 8;
        }

        int unit = (bits & 1) != 0 ? 32 : 16;
        int units = (columns + unit - 1) / unit;
        return new MatMulWeight(format, source, new TileLayout(rows, columns, bits, unit, block == 0 ? units : Math.Min(units, block / unit), source.Scale, source.HasZeros, KindOf(source) >= ValueKind.Paired64));
    }

    /// <summary>The same weight with f32 scales in its tiles where they are f16, as execution layouts had them before; null where nothing differs. Results are the same, bit for bit.</summary>
    public MatMulWeight? WithF32Scales() => Layout.Scale == TileScale.F16 ? new MatMulWeight(Format, _rows, Layout with { Scale = TileScale.F32 }) : null;

    /// <summary>Packs tiles.</summary>
    /// <param name="streams">Addresses of the decoded streams, in the order of <see cref="Roles"/>.</param>
    /// <param name="firstTile">First tile.</param>
    /// <param name="tiles">Their number.</param>
    /// <param name="destination">Start of the execution layout of the whole matrix, <see cref="Bytes"/> long, at a multiple of 64.</param>
    public void Pack(ReadOnlySpan<nint> streams, int firstTile, int tiles, nint destination)
    {
        for (int tile = firstTile; tile < firstTile + tiles; tile++)
        {
            TilePacker.Pack(_rows, Layout, streams, tile, (byte*)destination + (tile * Layout.TileBytes));
        }
    }

    /// <summary>Decodes one row of the matrix from its tiles: the same bits as from the stored streams.</summary>
    /// <param name="tiles">Start of the execution layout.</param>
    /// <param name="row">Which row, below <see cref="TileLayout.Rows"/>.</param>
    /// <param name="values">[columns] destination.</param>
    public void DecodeRow(byte* tiles, int row, float* values) => TileRow.Decode(tiles, Layout, Tile, Kind, row, values);

    /// <summary>Frees the tables; nothing may run with them afterwards.</summary>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private static ValueKind KindOf(CodeRows rows)
    {
        if (rows.Bits > 8)
        {
            return rows.Words;
        }

        if (rows.Table is not float[] table)
        {
            return rows.Bits <= 4 && !rows.HasZeros ? ValueKind.Table16 : ValueKind.Linear;
        }

        if (table.Length <= 16)
        {
            return ValueKind.Table16;
        }

        if (!rows.HasFixedTable || Array.Exists(table, v => (BitConverter.SingleToUInt32Bits(v) & 0xFFFF) != 0))
        {
            return ValueKind.Table;
        }

        if (table.Length <= 64)
        {
            return ValueKind.Paired64;
        }

        bool signed = table.Length == TableLength;
        for (int code = 0; code < table.Length / 2 && signed; code++)
        {
            // What is no number has no sign: decoders give one NaN or two.
            float value = table[code];
            float negated = table[code + (table.Length / 2)];
            signed = (BitConverter.SingleToUInt32Bits(value) ^ BitConverter.SingleToUInt32Bits(negated)) == 0x80000000 || (float.IsNaN(value) && float.IsNaN(negated));
        }

        return signed ? ValueKind.PairedSigned : ValueKind.Paired256;
    }

    private void Free()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            NativeMemory.AlignedFree(_table);
            NativeMemory.AlignedFree(_bytes);
        }
    }
}
