using System.Runtime.Intrinsics.X86;
using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>As <see cref="IntegerPath"/>, with the same results, but several rows are multiplied by <see cref="IntegerRowsCode"/>.</summary>
internal sealed unsafe class EmittedIntegerPath : EmittedRowPath
{
    private const int MaxTiles = 2;

    private const int GroupColumns = 4;

    private static readonly EmittedFunctions<(int Rows, int Tiles, int Groups, bool HasZeros)> s_functions = new(
        key => IntegerRowsCode.Write(key.Rows, key.Tiles, key.Groups, key.HasZeros, OperatingSystem.IsWindows()));

    private static readonly EmittedFunctions<IntegerRowShape> s_rowFunctions = new(shape => IntegerRowCode.Write(shape, OperatingSystem.IsWindows(), Avx512Vbmi.IsSupported));

    private readonly MatMulKernel _kernel;

    /// <summary>For one row where there is no code for it; else null.</summary>
    private readonly IntegerPath? _row;

    private EmittedIntegerPath(MatMulWeight weight, MatMulKernel kernel)
        : base(weight)
    {
        _kernel = kernel;
        IntegerRowShape shape = RowShape(weight.Tile, 0, RowCode.MaxTiles);
        _row = IntegerRowCode.Has(shape) ? null : new IntegerPath(weight, kernel);

        // Zen 4 reads codes without scales between them fastest as one stream: ternary 0.97 of what reading takes, four streams 0.62 (one core, family 25 model 17).
        bool isOneStream = CpuFeatures.AmdFamily == CpuFeatures.Zen4 && shape.Bits == 2 && shape.Scale == TileScale.None;
        RowTiles = _row is null && !isOneStream ? IntegerRowRegisters.MostTiles(shape) : 1;
    }

    protected override int RowTiles { get; }

    /// <summary>Null where this machine lacks the instruction, or code cannot be made at run time.</summary>
    public static EmittedIntegerPath? TryCreate(MatMulWeight weight, MatMulKernel kernel) =>
        CpuFeatures.HasVnni512 && EmittedFunctions.Works ? new EmittedIntegerPath(weight, kernel) : null;

    public override int TilesTogether(int rows) => rows == 1 ? RowTiles : MaxTiles;

    public override long ScratchBytes(int rows) => rows == 1 && _row is not null ? _row.ScratchBytes(1) : PackedActivations.Bytes(rows, Weight.Layout);

    public override void Prepare(float* x, int rows, void* scratch, bool shared)
    {
        if (rows == 1 && _row is not null)
        {
            _row.Prepare(x, rows, scratch, shared);
            return;
        }

        PackedActivations.Round(x, rows, Weight.Layout, Weight.Tile.ByteZero, (byte*)scratch);
    }

    public override bool PrepareColumns(float* x, long* offsets, int rows, void* scratch)
    {
        if (rows == 1 && _row is not null)
        {
            return false;
        }

        PackedActivations.RoundColumns(x, offsets, rows, Weight.Layout, Weight.Tile.ByteZero, (byte*)scratch);
        return true;
    }

    public override void Multiply(byte* tile, in TileWeight weight, void* scratch, int rows, int first, int count, in MatMulOutput to)
    {
        if (rows > 1)
        {
            Rows(tile, weight, scratch, rows, first, count, to);
        }
        else if (_row is null)
        {
            Row(tile, weight, scratch, first, count, to);
        }
        else
        {
            _row.Multiply(tile, weight, scratch, rows, first, count, to);
        }
    }

    protected override nint RowFunction(in TileWeight weight, int units, int tiles) => s_rowFunctions.Get(RowShape(weight, units * weight.UnitColumns / GroupColumns, tiles));

    protected override byte* RowActivations(void* scratch, int block) => PackedActivations.At(1, Weight.Layout, (byte*)scratch).Block(0, block);

    protected override byte* RowTable(in TileWeight weight) => weight.ByteTable;

    protected override void ScaleRow(byte* tile, int tiles, in TileWeight weight, float* sums) => Scale(sums, tiles * TileLayout.TileRows, weight.ByteMultiplier);

    private static IntegerRowShape RowShape(in TileWeight weight, int groups, int tiles) =>
        new(weight.CodeBits, groups, weight.ByteTable != null, weight.Scale, weight.HasZeros, tiles, tiles == 1 ? 0 : weight.TileBytes);

    /// <summary>Groups of whole blocks, and of a last block that is shorter; 0 without one.</summary>
    private static (int Whole, int Groups, int LastGroups) Groups(in TileWeight weight)
    {
        int whole = weight.Units / weight.BlockUnits;
        return (whole, weight.BlockUnits * weight.UnitColumns / GroupColumns, (weight.Units - (whole * weight.BlockUnits)) * weight.UnitColumns / GroupColumns);
    }

    /// <summary>Tiles by several rows.</summary>
    private void Rows(byte* tile, in TileWeight weight, void* scratch, int rows, int first, int count, in MatMulOutput to)
    {
        PackedActivations x = PackedActivations.At(rows, Weight.Layout, (byte*)scratch);
        int padded = x.Batches * x.BatchRows;
        long panelBytes = (long)TilePanel.Blocks(MaxTiles, weight) * TilePanel.BlockBytes(MaxTiles, weight);
        float* sums = Sums(padded, MaxTiles, panelBytes, out byte* panel);
        for (int i = first; i < first + count; i += MaxTiles)
        {
            int tiles = Math.Min(MaxTiles, first + count - i);
            TileOutput output = to.Tiles(rows, i, tiles, weight.Rows);
            output.Expect();
            ExpectNext(tile, tiles, weight);
            Tiles(tile, tiles, weight, x, panel, sums);
            output.Store(sums);
            tile += tiles * weight.TileBytes;
        }
    }

    /// <summary>One or two tiles by all rows.</summary>
    private void Tiles(byte* tile, int tiles, in TileWeight weight, in PackedActivations x, byte* panel, float* sums)
    {
        float* scratch = stackalloc float[MaxTiles * TileScales.Scratch];
        int count = x.Batches * x.BatchRows * tiles * TileLayout.TileRows;
        new Span<float>(sums, count).Clear();
        (int whole, int wholeGroups, int lastGroups) = Groups(weight);
        int together = TilePanel.Blocks(tiles, weight);
        for (int block = 0; block < whole; block += together)
        {
            Blocks(tile, tiles, weight, block, Math.Min(together, whole - block), wholeGroups, x, scratch, panel, sums);
        }

        if (lastGroups > 0)
        {
            Blocks(tile, tiles, weight, whole, 1, lastGroups, x, scratch, panel, sums);
        }

        Scale(sums, count, weight.ByteMultiplier);
    }

    /// <summary>Adds some blocks, all of the same length.</summary>
    private void Blocks(byte* tile, int tiles, in TileWeight weight, int block, int blocks, int groups, in PackedActivations x, float* scratch, byte* panel, float* sums)
    {
        int header = TilePanel.HeaderBytes(tiles, weight.HasZeros);
        int groupBytes = TilePlanes.VectorBytes * tiles;
        int units = groups * GroupColumns / weight.UnitColumns;
        for (int t = 0; t < tiles; t++)
        {
            byte* at = tile + (t * weight.TileBytes);
            float* room = scratch + (t * TileScales.Scratch);
            float* scales = TileScales.Scales<Simd512>(at, weight.Scale, block, blocks, room);
            int* zeros = weight.HasZeros ? TileScales.IntegerZeros<Simd512>(at, weight, block, blocks, room) : null;
            byte* codes = at + weight.CodesOffset + ((long)block * weight.BlockUnits * weight.UnitBytes);
            byte* to = panel;
            for (int b = 0; b < blocks; b++)
            {
                TilePanel.Header(scales + (b * TileLayout.TileRows), zeros + (b * weight.ZeroStride), weight.HasZeros, tiles, t, to);
                _kernel.Unpack(codes, weight.ByteTable, units, to + header + (t * TilePlanes.VectorBytes), groupBytes);
                codes += (long)units * weight.UnitBytes;
                to += header + (groups * groupBytes);
            }
        }

        var function = (delegate* unmanaged[SuppressGCTransition]<EmittedCall*, void>)s_functions.Get((x.BatchRows, tiles, groups, weight.HasZeros));
        EmittedCall call;
        call.Weights = panel;
        call.Blocks = blocks;
        for (int batch = 0; batch < x.Batches; batch++)
        {
            call.X = x.Block(batch, block);
            call.Y = sums + (batch * x.BatchRows * tiles * TileLayout.TileRows);
            function(&call);
        }
    }
}
