using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>Products with a block-sparse weight in f32. A part is a stripe.</summary>
public sealed unsafe class SparseMatMulRun : IMatMulRun
{
    private readonly MatMulKernel _kernel;

    /// <param name="weight">The weight.</param>
    /// <param name="tier">On which instruction set.</param>
    public SparseMatMulRun(SparseWeight weight, KernelTier tier)
    {
        Weight = weight;
        _kernel = MatMulKernel.For(weight.Values, tier);
    }

    /// <summary>The weight.</summary>
    public SparseWeight Weight { get; }

    /// <inheritdoc/>
    public int Inputs => Weight.Columns;

    /// <inheritdoc/>
    public int Outputs => Weight.Rows;

    /// <inheritdoc/>
    public int Parts => Weight.Stripes;

    /// <inheritdoc/>
    public int PartOutputs => Weight.StripeRows;

    /// <inheritdoc/>
    public int PreparedColumns => Weight.Runs * Weight.RunColumns;

    /// <inheritdoc/>
    public double MultiplicationsPerRow => Weight.Multiplications;

    /// <inheritdoc/>
    public long ScratchBytes(int rows) => (long)(rows == 1 ? 1 : Padded(rows)) * PreparedColumns * sizeof(float);

    /// <inheritdoc/>
    public void Prepare(float* x, int rows, void* scratch, bool shared = false) => Interleaving.Run(x, rows, Inputs, PreparedColumns, (float*)scratch, shared);

    /// <inheritdoc/>
    public void Run(byte* tiles, void* scratch, int rows, int first, int count, in MatMulOutput to)
    {
        int width = Weight.StripeRows;
        int padded = rows == 1 ? 1 : Padded(rows);
        long panel = rows == 1 ? PreparedColumns : FloatMatMul<Simd128, Codes8, LinearValues>.PanelColumns * width;
        float* sums = (float*)ThreadScratch.Get(ScratchUse.Tile, sizeof(float) * (((long)padded * width) + panel));
        float* room = sums + ((long)padded * width);
        fixed (int* starts = Weight.RunStarts)
        {
            for (int s = first; s < first + count; s++)
            {
                int run = Weight.FirstRun(s);
                var runs = new ColumnRuns(starts + run, Weight.FirstRun(s + 1) - run, Weight.RunColumns);
                byte* at = tiles + Weight.Offset(s);
                TileOutput output = to.Tiles(rows, s * Weight.TilesPerStripe, Weight.TilesPerStripe, Outputs);
                if (rows == 1)
                {
                    Row(at, s, (float*)scratch, runs, room, sums);
                    output.Store(sums);
                }
                else
                {
                    _kernel.FloatRowsSparse(at, Weight.TilesPerStripe, Weight.Weight(s), (float*)scratch, PreparedColumns, runs, room, sums, output);
                }
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Weight.Dispose();

    /// <summary>One row of activations: those of the runs are brought together, then the tiles are as those of a dense weight.</summary>
    private void Row(byte* at, int stripe, float* x, in ColumnRuns runs, float* gathered, float* sums)
    {
        float* from = x;
        if (runs.Count < Weight.Runs)
        {
            from = gathered;
            for (int i = 0; i < runs.Count; i++)
            {
                Unsafe.CopyBlockUnaligned(gathered + (i * runs.Columns), x + runs.Starts[i], (uint)(runs.Columns * sizeof(float)));
            }
        }

        ref readonly TileWeight weight = ref Weight.Weight(stripe);
        for (int t = 0; t < Weight.TilesPerStripe; t++)
        {
            _kernel.FloatRow(at + (t * weight.TileBytes), weight, from, sums + (TileLayout.TileRows * t));
        }
    }

    private static int Padded(int rows) => (rows + MatMulRun.Batch - 1) / MatMulRun.Batch * MatMulRun.Batch;
}
