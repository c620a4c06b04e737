namespace ModelPack.Kernels.MatMul;

/// <summary>f32 throughout.</summary>
internal sealed unsafe class FloatPath(MatMulWeight weight, MatMulKernel kernel) : MatMulPath(weight)
{
    private const long PanelBytes = (long)sizeof(float) * FloatMatMul<Simd128, Codes8, LinearValues>.PanelColumns * TileLayout.TileRows * MatMulRun.MaxTiles;

    public override int PreparedColumns => Weight.Layout.PaddedColumns;

    public override long ScratchBytes(int rows) => (long)(rows == 1 ? 1 : Padded(rows)) * Weight.Layout.PaddedColumns * sizeof(float);

    public override void Prepare(float* x, int rows, void* scratch, bool shared) =>
        Interleaving.Run(x, rows, Weight.Layout.Columns, Weight.Layout.PaddedColumns, (float*)scratch, shared);

    public override void Multiply(byte* tile, in TileWeight weight, void* scratch, int rows, int first, int count, in MatMulOutput to)
    {
        float* sums = Sums(Padded(rows), MatMulRun.MaxTiles, PanelBytes, out byte* panel);
        int step = rows == 1 ? 1 : MatMulRun.MaxTiles;
        for (int i = first; i < first + count; i += step)
        {
            int tiles = Math.Min(step, first + count - i);
            TileOutput output = to.Tiles(rows, i, tiles, weight.Rows);
            if (rows == 1)
            {
                kernel.FloatRow(tile, weight, (float*)scratch, sums);
                output.Store(sums);
            }
            else
            {
                ExpectNext(tile, tiles, weight);
                kernel.FloatRows(tile, tiles, weight, (float*)scratch, (float*)panel, sums, output);
            }

            tile += tiles * weight.TileBytes;
        }
    }
}
