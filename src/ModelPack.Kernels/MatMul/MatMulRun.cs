namespace ModelPack.Kernels.MatMul;

/// <summary>How activations enter a product.</summary>
public enum MatMulArithmetic
{
    /// <summary>f32 throughout: results differ from dense f32 execution by the order of additions only.</summary>
    Float,

    /// <summary>Activations are rounded to 8 bits per block of the weight; sums of a block are exact integers.</summary>
    Integer,

    /// <summary>
    /// Activations are rounded to BF16 (a relative error of at most 2^-9 each), sums are f32. As <see cref="Float"/> where the machine lacks AVX512_BF16, and one row of weights other than FP8 with a sign bit, or without AVX512_VBMI.
    /// </summary>
    BFloat16,
}

/// <summary>
/// One product y = x W^T, cut into steps that threads may share: <see cref="Prepare"/> once, then <see cref="Tiles"/> for ranges of tiles, in any split and order with the same result, bit for bit.
/// </summary>
public sealed unsafe class MatMulRun : IMatMulRun
{
    /// <summary>Rows of activations that are worked on at a time; more are done in turns.</summary>
    public const int MaxRows = 128;

    /// <summary>Rows of f32 activations that are stored together.</summary>
    internal const int Batch = 8;

    internal const int MaxTiles = FloatMatMul<Simd128, Codes8, LinearValues>.MaxTiles;

    private readonly MatMulPath _path;

    /// <param name="weight">The weight.</param>
    /// <param name="arithmetic">How to compute.</param>
    /// <param name="tier">On which instruction set.</param>
    public MatMulRun(MatMulWeight weight, MatMulArithmetic arithmetic, KernelTier tier)
    {
        Weight = weight;
        MatMulKernel kernel = MatMulKernel.For(weight, tier);
        _path = (tier == KernelTier.Avx512 ? Emitted(weight, arithmetic, kernel) : null) ?? Path(weight, arithmetic, kernel);
    }

    /// <summary>With given kernels, none of them made at run time.</summary>
    internal MatMulRun(MatMulWeight weight, MatMulArithmetic arithmetic, MatMulKernel kernel)
    {
        Weight = weight;
        _path = Path(weight, arithmetic, kernel);
    }

    /// <summary>The weight.</summary>
    public MatMulWeight Weight { get; }

    int IMatMulRun.Inputs => Weight.Layout.Columns;

    int IMatMulRun.Outputs => Weight.Layout.Rows;

    int IMatMulRun.Parts => Weight.Layout.Tiles;

    int IMatMulRun.PartOutputs => TileLayout.TileRows;

    int IMatMulRun.PreparedColumns => _path.PreparedColumns;

    bool IMatMulRun.PreparesAs(IMatMulRun other) => (_path.PreparedColumns > 0 && _path.PreparedColumns == other.PreparedColumns) || (other is MatMulRun run && _path.PreparesAs(run._path));

    double IMatMulRun.MultiplicationsPerRow => (double)Weight.Layout.Rows * Weight.Layout.Columns;

    int IMatMulRun.PartsTogether(int rows) => _path.TilesTogether(rows);

    bool IMatMulRun.PrepareColumns(float* x, long* offsets, int rows, void* scratch) => _path.PrepareColumns(x, offsets, rows, scratch);

    void IMatMulRun.Run(byte* tiles, void* scratch, int rows, int first, int count, in MatMulOutput to) => Multiply(tiles, scratch, rows, first, count, to);

    void IDisposable.Dispose() => Weight.Dispose();

    /// <summary>Bytes of scratch that <see cref="Prepare"/> needs for so many rows, at most <see cref="MaxRows"/>.</summary>
    public long ScratchBytes(int rows) => _path.ScratchBytes(rows);

    /// <summary>Brings activations into the form that the kernels read.</summary>
    /// <param name="x">[rows, columns].</param>
    /// <param name="rows">1 to <see cref="MaxRows"/>.</param>
    /// <param name="scratch"><see cref="ScratchBytes"/> bytes at a multiple of 64, kept until all tiles are done.</param>
    /// <param name="shared">Whether several threads read it; the result is the same.</param>
    public void Prepare(float* x, int rows, void* scratch, bool shared = false) => _path.Prepare(x, rows, scratch, shared);

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

    /// <summary>Kernels made at run time; null where there are none.</summary>
    private static MatMulPath? Emitted(MatMulWeight weight, MatMulArithmetic arithmetic, MatMulKernel kernel) => arithmetic switch
    {
        MatMulArithmetic.Integer => EmittedIntegerPath.TryCreate(weight, kernel),
        MatMulArithmetic.BFloat16 => EmittedBFloat16Path.TryCreate(weight, kernel),
        MatMulArithmetic.Float => EmittedFloatPath.TryCreate(weight, kernel),
        _ => null,
    };

    private static MatMulPath Path(MatMulWeight weight, MatMulArithmetic arithmetic, MatMulKernel kernel) =>
        arithmetic == MatMulArithmetic.Integer ? new IntegerPath(weight, kernel) : new FloatPath(weight, kernel);

    private void Multiply(byte* tiles, void* scratch, int rows, int firstTile, int count, in MatMulOutput to)
    {
        TileWeight tile = Weight.Tile;
        _path.Multiply(tiles + (firstTile * tile.TileBytes), tile, scratch, rows, firstTile, count, to);
    }
}
