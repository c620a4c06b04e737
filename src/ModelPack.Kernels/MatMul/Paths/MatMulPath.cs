namespace ModelPack.Kernels.MatMul;

/// <summary>One way to compute a product with a packed weight: how activations are prepared and which kernels multiply them.</summary>
/// <param name="weight">The weight.</param>
internal abstract unsafe class MatMulPath(MatMulWeight weight)
{
    private const int ExpectedBytes = 8192;

    /// <summary>The weight.</summary>
    protected MatMulWeight Weight { get; } = weight;

    /// <summary>See <see cref="IMatMulRun.PreparedColumns"/>.</summary>
    public virtual int PreparedColumns => 0;

    /// <summary>See <see cref="IMatMulRun.PartsTogether"/>.</summary>
    public virtual int TilesTogether(int rows) => rows == 1 ? 1 : MatMulRun.MaxTiles;

    /// <summary>See <see cref="MatMulRun.ScratchBytes"/>.</summary>
    public abstract long ScratchBytes(int rows);

    /// <summary>See <see cref="MatMulRun.Prepare"/>.</summary>
    public abstract void Prepare(float* x, int rows, void* scratch, bool shared);

    /// <summary>Whether <see cref="Prepare"/> of another way leaves the same, on the same instruction set.</summary>
    public bool PreparesAs(MatMulPath other) => GetType() == other.GetType() && Weight.PreparesAs(other.Weight);

    /// <summary>As <see cref="Prepare"/>, from activations column by column: see <see cref="IMatMulRun.PrepareColumns"/>.</summary>
    /// <returns>False where this way has no faster one than to transpose them first; then nothing was done.</returns>
    public virtual bool PrepareColumns(float* x, long* offsets, int rows, void* scratch) => false;

    /// <summary>Computes the outputs of tiles.</summary>
    /// <param name="tile">The first.</param>
    /// <param name="weight">What codes mean.</param>
    /// <param name="scratch">What was prepared.</param>
    /// <param name="rows">Rows of activations.</param>
    /// <param name="first">Number of the first tile.</param>
    /// <param name="count">Their number.</param>
    /// <param name="to">Where outputs go.</param>
    public abstract void Multiply(byte* tile, in TileWeight weight, void* scratch, int rows, int first, int count, in MatMulOutput to);

    /// <summary>Rows filled up to whole batches.</summary>
    protected static int Padded(int rows) => (rows + MatMulRun.Batch - 1) / MatMulRun.Batch * MatMulRun.Batch;

    /// <summary>Sums of so many rows and tiles, and room behind them.</summary>
    protected static float* Sums(int rows, int tiles, long moreBytes, out byte* more)
    {
        long sums = (long)rows * tiles * TileLayout.TileRows;
        float* result = (float*)ThreadScratch.Get(ScratchUse.Tile, (sizeof(float) * sums) + moreBytes);
        more = (byte*)(result + sums);
        return result;
    }

    /// <summary>Asks for the beginning of the tiles behind some: as much as is not read so fast that the hardware asks for it.</summary>
    protected static void ExpectNext(byte* tile, int tiles, in TileWeight weight)
    {
        long bytes = tiles * weight.TileBytes;
        Prefetching.Lines(tile + bytes, (int)Math.Min(ExpectedBytes, bytes));
    }
}
