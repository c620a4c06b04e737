namespace ModelPack.Kernels.MatMul;

/// <summary>Products with a weight of single stored elements in f32. A part is some rows of it.</summary>
/// <param name="weight">The weight.</param>
/// <param name="tier">On which instruction set.</param>
public sealed unsafe class MaskedMatMulRun(MaskedWeight weight, KernelTier tier) : IMatMulRun
{
    private const int RowsOfPart = 16;

    /// <summary>The weight.</summary>
    public MaskedWeight Weight => weight;

    /// <inheritdoc/>
    public int Inputs => weight.Columns;

    /// <inheritdoc/>
    public int Outputs => weight.Rows;

    /// <inheritdoc/>
    public int Parts => (weight.Rows + RowsOfPart - 1) / RowsOfPart;

    /// <inheritdoc/>
    public int PartOutputs => RowsOfPart;

    /// <inheritdoc/>
    /// <remarks>0: rows stay beside each other, as no other kernel reads them.</remarks>
    public int PreparedColumns => 0;

    /// <inheritdoc/>
    public double MultiplicationsPerRow => (double)weight.Rows * Stride;

    private int Stride => weight.Units * MaskedWeight.UnitColumns;

    /// <inheritdoc/>
    public long ScratchBytes(int rows) => (long)rows * Stride * sizeof(float);

    /// <inheritdoc/>
    public void Prepare(float* x, int rows, void* scratch, bool shared = false)
    {
        float* to = (float*)scratch;
        for (int r = 0; r < rows; r++)
        {
            new ReadOnlySpan<float>(x + ((long)r * Inputs), Inputs).CopyTo(new Span<float>(to + ((long)r * Stride), Inputs));
            new Span<float>(to + ((long)r * Stride) + Inputs, Stride - Inputs).Clear();
        }
    }

    /// <inheritdoc/>
    public void Run(byte* tiles, void* scratch, int rows, int first, int count, in MatMulOutput to)
    {
        switch (weight.Bits)
        {
            case 32:
                Run<MaskedSingles>(tiles, (float*)scratch, rows, first, count, to);
                break;
            case 16:
                Run<MaskedNarrow>(tiles, (float*)scratch, rows, first, count, to);
                break;
            default:
                Run<MaskedCodes>(tiles, (float*)scratch, rows, first, count, to);
                break;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    private void Run<TValues>(byte* tiles, float* x, int rows, int first, int count, in MatMulOutput to)
        where TValues : struct, IMaskedValues
    {
        const int batch = MaskedKernels<TValues>.Batch;
        float* sums = stackalloc float[batch];
        int end = Math.Min(weight.Rows, (first + count) * RowsOfPart);
        for (int n = first * RowsOfPart; n < end; n++)
        {
            byte* values = tiles + weight.RowOffset(n);
            float* scales = weight.UnitsPerBlock == 0 ? null : (float*)(values + weight.ScalesOffset);
            for (int r = 0; r < rows; r += batch)
            {
                int some = Math.Min(batch, rows - r);
                MaskedKernels<TValues>.Run(
                    tier, tiles + ((long)n * weight.MaskBytes), values, scales, weight.Units, scales == null ? weight.Units : weight.UnitsPerBlock, weight.Zero, x + ((long)r * Stride), Stride, some, sums);
                for (int i = 0; i < some; i++)
                {
                    to.Y[((long)(r + i) * to.Stride) + (n - to.First)] = sums[i] + (to.Bias == null ? 0 : to.Bias[n]);
                }
            }
        }
    }
}
