namespace ModelPack.Kernels.MatMul;

/// <summary>Activations rounded to 8 bits; sums of a block are exact integers.</summary>
internal sealed unsafe class IntegerPath(MatMulWeight weight, MatMulKernel kernel) : MatMulPath(weight)
{
    public override long ScratchBytes(int rows) => ActivationCodes.Bytes(Weight.Layout, Padded(rows), kernel.ActivationBytes) + 64;

    public override void Prepare(float* x, int rows, void* scratch, bool shared) =>
        ActivationCodes.Round(x, rows, Weight.Layout, Weight.Tile.ByteZero, kernel.ActivationBytes, MatMulRun.Batch, (byte*)scratch);

    public override void Multiply(byte* tile, in TileWeight weight, void* scratch, int rows, int first, int count, in MatMulOutput to)
    {
        long panelBytes = rows == 1 ? 0 : 2L * TileLayout.TileRows * weight.BlockUnits * weight.UnitColumns;
        float* sums = Sums(Padded(rows), 1, panelBytes, out byte* panel);
        ActivationCodes codes = ActivationCodes.At(rows, Weight.Layout, kernel.ActivationBytes, MatMulRun.Batch, (byte*)scratch);
        for (int i = first; i < first + count; i++)
        {
            TileOutput output = to.Tiles(rows, i, 1, weight.Rows);
            if (rows == 1)
            {
                kernel.IntegerRow(tile, weight, codes, sums);
            }
            else
            {
                output.Expect();
                kernel.IntegerRows(tile, weight, codes, panel, sums);
            }

            output.Store(sums);
            tile += weight.TileBytes;
        }
    }
}
