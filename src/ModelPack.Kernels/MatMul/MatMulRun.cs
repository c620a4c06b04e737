namespace ModelPack.Kernels.MatMul;

/// <summary>How activations enter a product.</summary>
public enum MatMulArithmetic
{
    /// <summary>f32 throughout: results differ from dense f32 execution by the order of additions only.</summary>
    Float,

    /// <summary>Activations are rounded to 8 bits per block of the weight; sums of a block are exact integers.</summary>
    Integer,
}

/// <summary>
/// One product y = x W^T, cut into steps that threads may share: <see cref="Prepare"/> once, then <see cref="Tiles"/> for ranges of tiles, in any split and order with the same result, bit for bit.
/// </summary>
public sealed unsafe class MatMulRun : IMatMulRun
{
    /// <summary>Rows of activations that are worked on at a time; more are done in turns.</summary>
    public const int MaxRows = 128;

    internal const int Batch = FloatMatMul<Simd128, Codes8, LinearValues>.Batch;

    internal const int MaxTiles = FloatMatMul<Simd128, Codes8, LinearValues>.MaxTiles;

    private readonly MatMulKernel _kernel;
    private readonly MatMulArithmetic _arithmetic;

    /// <param name="weight">The weight.</param>
    /// <param name="arithmetic">How to compute.</param>
    /// <param name="tier">On which instruction set.</param>
    public MatMulRun(MatMulWeight weight, MatMulArithmetic arithmetic, KernelTier tier)
        : this(weight, arithmetic, MatMulKernel.For(weight, tier))
    {
    }

    internal MatMulRun(MatMulWeight weight, MatMulArithmetic arithmetic, MatMulKernel kernel)
    {
        Weight = weight;
        _arithmetic = arithmetic;
        _kernel = kernel;
    }

    /// <summary>The weight.</summary>
    public MatMulWeight Weight { get; }

    int IMatMulRun.Inputs => Weight.Layout.Columns;

    int IMatMulRun.Outputs => Weight.Layout.Rows;

    int IMatMulRun.Parts => Weight.Layout.Tiles;

    int IMatMulRun.PartOutputs => TileLayout.TileRows;

    int IMatMulRun.PreparedColumns => _arithmetic == MatMulArithmetic.Float ? Weight.Layout.PaddedColumns : 0;

    double IMatMulRun.MultiplicationsPerRow => (double)Weight.Layout.Rows * Weight.Layout.Columns;

    void IMatMulRun.Run(byte* tiles, void* scratch, int rows, int first, int count, in MatMulOutput to) => Multiply(tiles, scratch, rows, first, count, to);

    void IDisposable.Dispose() => Weight.Dispose();

    /// <summary>Bytes of scratch that <see cref="Prepare"/> needs for so many rows, at most <see cref="MaxRows"/>.</summary>
    public long ScratchBytes(int rows)
    {
        int padded = (rows + Batch - 1) / Batch * Batch;
        return _arithmetic == MatMulArithmetic.Integer
            ? ActivationCodes.Bytes(Weight.Layout, padded, _kernel.ActivationBytes) + 64
            : (long)(rows == 1 ? 1 : padded) * Weight.Layout.PaddedColumns * sizeof(float);
    }

    /// <summary>Brings activations into the form that the kernels read.</summary>
    /// <param name="x">[rows, columns].</param>
    /// <param name="rows">1 to <see cref="MaxRows"/>.</param>
    /// <param name="scratch"><see cref="ScratchBytes"/> bytes at a multiple of 64, kept until all tiles are done.</param>
    public void Prepare(float* x, int rows, void* scratch)
    {
        TileLayout layout = Weight.Layout;
        if (_arithmetic == MatMulArithmetic.Integer)
        {
            _ = ActivationCodes.Round(x, rows, layout, Weight.Tile.ByteZero, _kernel.ActivationBytes, Batch, (byte*)scratch);
            return;
        }

        float* to = (float*)scratch;
        if (rows == 1)
        {
            new ReadOnlySpan<float>(x, layout.Columns).CopyTo(new Span<float>(to, layout.Columns));
            new Span<float>(to + layout.Columns, layout.PaddedColumns - layout.Columns).Clear();
            return;
        }

        Interleaving.Run(x, rows, layout.Columns, layout.PaddedColumns, to);
    }

    /// <summary>Computes the outputs of some tiles.</summary>
    /// <param name="tiles">The execution layout of the weight.</param>
    /// <param name="scratch">What was prepared.</param>
    /// <param name="rows">Rows of activations.</param>
    /// <param name="firstTile">First tile.</param>
    /// <param name="count">Their number.</param>
    /// <param name="bias">[outputs] to be added; null for none.</param>
    /// <param name="y">[rows, outputs] destination.</param>
    public void Tiles(byte* tiles, void* scratch, int rows, int firstTile, int count, float* bias, float* y) =>
        Multiply(tiles, scratch, rows, firstTile, count, new MatMulOutput(y, Weight.Layout.Rows, 0, bias));

    private void Multiply(byte* tiles, void* scratch, int rows, int firstTile, int count, in MatMulOutput to)
    {
        TileWeight tile = Weight.Tile;
        int padded = (rows + Batch - 1) / Batch * Batch;
        byte* at = tiles + (firstTile * tile.TileBytes);
        bool integer = _arithmetic == MatMulArithmetic.Integer;
        long panelBytes = rows == 1 ? 0
            : integer ? 2L * TileLayout.TileRows * tile.BlockUnits * tile.UnitColumns
            : (long)sizeof(float) * FloatMatMul<Simd128, Codes8, LinearValues>.PanelColumns * TileLayout.TileRows * MaxTiles;
        float* sums = (float*)ThreadScratch.Get(ScratchUse.Tile, ((long)sizeof(float) * padded * TileLayout.TileRows * MaxTiles) + panelBytes);
        void* panel = sums + ((long)padded * TileLayout.TileRows * MaxTiles);
        ActivationCodes codes = integer ? ActivationCodes.At(rows, Weight.Layout, _kernel.ActivationBytes, Batch, (byte*)scratch) : default;
        int end = firstTile + count;
        for (int i = firstTile; i < end;)
        {
            int step = 1;
            if (integer && rows == 1)
            {
                _kernel.IntegerRow(at, tile, codes, sums);
            }
            else if (integer)
            {
                _kernel.IntegerRows(at, tile, codes, (byte*)panel, sums);
            }
            else if (rows == 1)
            {
                _kernel.FloatRow(at, tile, (float*)scratch, sums);
            }
            else
            {
                step = Math.Min(MaxTiles, end - i);
                _kernel.FloatRows(at, step, tile, (float*)scratch, padded / Batch, (float*)panel, sums);
            }

            Store(sums, rows, i, step, tile.Rows, to);
            i += step;
            at += step * tile.TileBytes;
        }
    }

    /// <summary>Outputs of tiles to their places; rows beyond the matrix are left out.</summary>
    internal static void Store(float* sums, int rows, int tile, int tiles, int outputs, in MatMulOutput to)
    {
        int first = tile * TileLayout.TileRows;
        int width = tiles * TileLayout.TileRows;
        int count = Math.Min(width, outputs - first);
        for (int r = 0; r < rows; r++)
        {
            float* y = to.Y + ((long)r * to.Stride) + (first - to.First);
            new ReadOnlySpan<float>(sums + (width * r), count).CopyTo(new Span<float>(y, count));
            for (int i = 0; to.Bias != null && i < count; i++)
            {
                y[i] += to.Bias[first + i];
            }
        }
    }
}
