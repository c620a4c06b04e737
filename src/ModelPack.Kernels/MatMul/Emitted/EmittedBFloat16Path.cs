using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// Activations rounded to BF16, weights as they are: several rows by <see cref="BFloat16RowsCode"/>, one row by <see cref="BFloat16RowCode"/> where there is code for the weight, else in f32, which then waits for memory all the same.
/// </summary>
internal sealed unsafe class EmittedBFloat16Path : EmittedRowPath
{
    private const int MaxTiles = 2;

    private const int GroupColumns = 4;

    /// <summary>Columns that are decoded together where blocks have no scales: 32 KiB of two tiles.</summary>
    private const int PanelColumns = 512;

    private static readonly EmittedFunctions<(int Rows, int Tiles, int Pairs, bool HasScales)> s_functions = new(
        key => BFloat16RowsCode.Write(key.Rows, key.Tiles, key.Pairs, key.HasScales, OperatingSystem.IsWindows()));

    private static readonly EmittedFunctions<BFloat16RowShape> s_rowFunctions = new(shape => BFloat16RowCode.Write(shape, OperatingSystem.IsWindows()));

    private readonly MatMulKernel _kernel;

    /// <summary>For one row where there is no code for it; else null.</summary>
    private readonly FloatPath? _row;

    /// <summary>A scale of whole rows multiplies sums in the end.</summary>
    private readonly bool _hasScales;

    private EmittedBFloat16Path(MatMulWeight weight, MatMulKernel kernel)
        : base(weight)
    {
        _kernel = kernel;
        _row = weight.Kind == ValueKind.PairedSigned && Avx512Vbmi.IsSupported ? null : new FloatPath(weight, kernel);
        _hasScales = weight.Layout.Blocks > 1 && weight.Layout.Scale != TileScale.None;
    }

    public override int TilesTogether(int rows) => rows > 1 ? MaxTiles : _row is null ? RowTiles : 1;

    protected override int RowTiles => RowCode.MaxTiles;

    private int MaxRows => BFloat16RowsCode.MaxRows(_hasScales);

    /// <summary>Null where this machine lacks the instruction, or code cannot be made at run time.</summary>
    public static EmittedBFloat16Path? TryCreate(MatMulWeight weight, MatMulKernel kernel) =>
        CpuFeatures.HasBFloat16 && EmittedFunctions.Works ? new EmittedBFloat16Path(weight, kernel) : null;

    public override long ScratchBytes(int rows) => rows == 1 ? _row?.ScratchBytes(1) ?? (long)Weight.Layout.PaddedColumns * sizeof(ushort) : PackedBFloat16.Bytes(rows, MaxRows, Weight.Layout);

    public override void Prepare(float* x, int rows, void* scratch, bool shared)
    {
        if (rows == 1 && _row is not null)
        {
            _row.Prepare(x, rows, scratch, shared);
            return;
        }

        if (rows == 1)
        {
            PackedBFloat16.Round(x, Weight.Layout.Columns, (ushort*)scratch);
            new Span<ushort>((ushort*)scratch + Weight.Layout.Columns, Weight.Layout.PaddedColumns - Weight.Layout.Columns).Clear();
            return;
        }

        PackedBFloat16.Round(x, rows, MaxRows, Weight.Layout, scratch);
    }

    public override bool PrepareColumns(float* x, long* offsets, int rows, void* scratch)
    {
        if (rows == 1)
        {
            return false;
        }

        PackedBFloat16.RoundColumns(x, offsets, rows, MaxRows, Weight.Layout, scratch);
        return true;
    }

    public override void Multiply(byte* tile, in TileWeight weight, void* scratch, int rows, int first, int count, in MatMulOutput to)
    {
        if (rows == 1 && _row is not null)
        {
            _row.Multiply(tile, weight, scratch, rows, first, count, to);
            return;
        }

        if (rows == 1)
        {
            Row(tile, weight, scratch, first, count, to);
            return;
        }

        PackedBFloat16 x = PackedBFloat16.At(rows, MaxRows, Weight.Layout, scratch);
        int padded = x.Batches * x.BatchRows;
        int blockBytes = TilePlanes.VectorBytes * MaxTiles * (1 + (weight.BlockUnits * weight.UnitColumns / BFloat16RowsCode.PairColumns));
        long panelBytes = _hasScales ? Math.Max(1, PanelColumns / (weight.BlockUnits * weight.UnitColumns)) * (long)blockBytes : 2L * MaxTiles * TileLayout.TileRows * PanelColumns;
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

    protected override int RowBlockUnits(in TileWeight weight) => _hasScales ? weight.BlockUnits : weight.Units;

    protected override nint RowFunction(in TileWeight weight, int units, int tiles) =>
        s_rowFunctions.Get(new BFloat16RowShape(units * weight.UnitColumns / GroupColumns, _hasScales ? weight.Scale : TileScale.None, tiles, tiles == 1 ? 0 : weight.TileBytes));

    protected override byte* RowActivations(void* scratch, int block) => (byte*)((ushort*)scratch + (block * Weight.Layout.BlockUnits * Weight.Layout.UnitColumns));

    protected override byte* RowTable(in TileWeight weight) => (byte*)(weight.Table + MatMulWeight.TableLength);

    protected override void ScaleRow(byte* tile, int tiles, in TileWeight weight, float* sums) => Scale(tile, tiles, weight, 1, sums);

    /// <summary>One or two tiles by all rows.</summary>
    private void Tiles(byte* tile, int tiles, in TileWeight weight, in PackedBFloat16 x, byte* panel, float* sums)
    {
        int rows = x.Batches * x.BatchRows;
        new Span<float>(sums, rows * tiles * TileLayout.TileRows).Clear();

        // Without scales a block is a unit: what is multiplied and then added has no longer parts.
        int blockUnits = _hasScales ? weight.BlockUnits : 1;
        int whole = weight.Units / blockUnits;
        int together = Math.Max(1, PanelColumns / (blockUnits * weight.UnitColumns));
        for (int block = 0; block < whole; block += together)
        {
            Blocks(tile, tiles, weight, block * blockUnits, blockUnits, Math.Min(together, whole - block), x, panel, sums);
        }

        if (whole * blockUnits < weight.Units)
        {
            Blocks(tile, tiles, weight, whole * blockUnits, weight.Units - (whole * blockUnits), 1, x, panel, sums);
        }

        Scale(tile, tiles, weight, rows, sums);
    }

    /// <summary>Adds some blocks of the same length.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Blocks(byte* tile, int tiles, in TileWeight weight, int unit, int blockUnits, int blocks, in PackedBFloat16 x, byte* panel, float* sums)
    {
        float* scratch = stackalloc float[TileScales.Scratch];
        int pairs = blockUnits * weight.UnitColumns / BFloat16RowsCode.PairColumns;
        int pairBytes = TilePlanes.VectorBytes * tiles;
        int header = _hasScales ? pairBytes : 0;
        int firstBlock = unit / weight.BlockUnits;
        int scaled = ((unit + (blocks * blockUnits) - 1) / weight.BlockUnits) + 1 - firstBlock;
        for (int t = 0; t < tiles; t++)
        {
            byte* at = tile + (t * weight.TileBytes);
            float* scales = _hasScales ? TileScales.Scales<Simd512>(at, weight.Scale, firstBlock, scaled, scratch) : null;
            float* zeros = TileScales.Zeros<Simd512>(at, weight, firstBlock, scaled, scratch);
            byte* codes = at + weight.CodesOffset + ((long)unit * weight.UnitBytes);
            byte* to = panel;
            for (int b = 0; b < blocks; b++)
            {
                int block = ((unit + (b * blockUnits)) / weight.BlockUnits) - firstBlock;
                if (_hasScales)
                {
                    Simd512.Store(Simd512.Load(scales + (block * TileLayout.TileRows)), to + (t * TilePlanes.VectorBytes));
                }

                _kernel.UnpackBFloat16(codes, weight.Table, zeros + (block * weight.ZeroStride), blockUnits, to + header + (t * TilePlanes.VectorBytes), pairBytes);
                codes += (long)blockUnits * weight.UnitBytes;
                to += header + (pairs * pairBytes);
            }
        }

        var function = (delegate* unmanaged[SuppressGCTransition]<EmittedCall*, void>)s_functions.Get((x.BatchRows, tiles, pairs, _hasScales));
        EmittedCall call;
        call.Weights = panel;
        call.Blocks = blocks;
        for (int batch = 0; batch < x.Batches; batch++)
        {
            call.X = x.Column(batch, unit * weight.UnitColumns);
            call.Y = sums + (batch * x.BatchRows * tiles * TileLayout.TileRows);
            function(&call);
        }
    }

    /// <summary>Multiplies sums with what all values of the weight, or of a row of it, have in common.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Scale(byte* tile, int tiles, in TileWeight weight, int rows, float* sums)
    {
        float* scratch = stackalloc float[TileScales.Scratch];
        for (int t = 0; t < tiles; t++)
        {
            Simd512 factor = Simd512.Create(weight.Multiplier);
            if (!_hasScales && weight.Scale != TileScale.None)
            {
                factor = Simd512.Multiply(factor, Simd512.Load(TileScales.Scales<Simd512>(tile + (t * weight.TileBytes), weight.Scale, 0, 1, scratch)));
            }

            for (int r = 0; r < rows; r++)
            {
                float* at = sums + (((r * tiles) + t) * TileLayout.TileRows);
                Simd512.Store(Simd512.Multiply(Simd512.Load(at), factor), at);
            }
        }
    }
}
