using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>As <see cref="IntegerPath"/>, with the same results, but several rows are multiplied by <see cref="IntegerRowsCode"/>.</summary>
internal sealed unsafe class EmittedIntegerPath : MatMulPath
{
    private const int MaxTiles = 2;

    private const int GroupColumns = 4;

    private static readonly EmittedFunctions<(int Rows, int Tiles, int Groups, bool HasZeros)> s_functions = new(
        key => IntegerRowsCode.Write(key.Rows, key.Tiles, key.Groups, key.HasZeros, OperatingSystem.IsWindows()));

    private readonly MatMulKernel _kernel;
    private readonly IntegerPath _row;

    private EmittedIntegerPath(MatMulWeight weight, MatMulKernel kernel)
        : base(weight)
    {
        _kernel = kernel;
        _row = new IntegerPath(weight, kernel);
    }

    /// <summary>Null where this machine lacks the instruction, or code cannot be made at run time.</summary>
    public static EmittedIntegerPath? TryCreate(MatMulWeight weight, MatMulKernel kernel) =>
        CpuFeatures.HasVnni512 && EmittedFunctions.Works ? new EmittedIntegerPath(weight, kernel) : null;

    public override long ScratchBytes(int rows) => rows == 1 ? _row.ScratchBytes(1) : PackedActivations.Bytes(rows, Weight.Layout);

    public override void Prepare(float* x, int rows, void* scratch)
    {
        if (rows == 1)
        {
            _row.Prepare(x, rows, scratch);
            return;
        }

        PackedActivations.Round(x, rows, Weight.Layout, Weight.Tile.ByteZero, (byte*)scratch);
    }

    public override void Multiply(byte* tile, in TileWeight weight, void* scratch, int rows, int first, int count, in MatMulOutput to)
    {
        if (rows == 1)
        {
            _row.Multiply(tile, weight, scratch, rows, first, count, to);
            return;
        }

        PackedActivations x = PackedActivations.At(rows, Weight.Layout, (byte*)scratch);
        int padded = x.Batches * x.BatchRows;
        long panelBytes = (long)TilePanel.Blocks(MaxTiles, weight) * TilePanel.BlockBytes(MaxTiles, weight);
        float* sums = Sums(padded, MaxTiles, panelBytes, out byte* panel);
        for (int i = first; i < first + count; i += MaxTiles)
        {
            int tiles = Math.Min(MaxTiles, first + count - i);
            Tiles(tile, tiles, weight, x, panel, sums);
            MatMulRun.Store(sums, rows, i, tiles, weight.Rows, to);
            tile += tiles * weight.TileBytes;
        }
    }

    /// <summary>One or two tiles by all rows.</summary>
    private void Tiles(byte* tile, int tiles, in TileWeight weight, in PackedActivations x, byte* panel, float* sums)
    {
        float* scratch = stackalloc float[MaxTiles * TileScales.Scratch];
        int count = x.Batches * x.BatchRows * tiles * TileLayout.TileRows;
        new Span<float>(sums, count).Clear();
        int whole = weight.Units / weight.BlockUnits;
        int together = TilePanel.Blocks(tiles, weight);
        int wholeGroups = weight.BlockUnits * weight.UnitColumns / GroupColumns;
        int lastGroups = (weight.Units - (whole * weight.BlockUnits)) * weight.UnitColumns / GroupColumns;
        for (int block = 0; block < whole; block += together)
        {
            Blocks(tile, tiles, weight, block, Math.Min(together, whole - block), wholeGroups, x, scratch, panel, sums);
        }

        if (lastGroups > 0)
        {
            Blocks(tile, tiles, weight, whole, 1, lastGroups, x, scratch, panel, sums);
        }

        Simd512 multiplier = Simd512.Create(weight.ByteMultiplier);
        for (int i = 0; i < count; i += Simd512.Count)
        {
            Simd512.Store(Simd512.Multiply(Simd512.Load(sums + i), multiplier), sums + i);
        }
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
        call.Panel = panel;
        call.Blocks = blocks;
        for (int batch = 0; batch < x.Batches; batch++)
        {
            call.X = x.Block(batch, block);
            call.Y = sums + (batch * x.BatchRows * tiles * TileLayout.TileRows);
            function(&call);
        }
    }
}
