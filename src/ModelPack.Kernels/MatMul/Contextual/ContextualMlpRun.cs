namespace ModelPack.Kernels.MatMul;

/// <summary>
/// The second half of a gated perceptron whose neurons are skipped at run time: a = f(g); where |a| is above a threshold, h = a (x U^T) and y = h D; neurons below it are neither multiplied with U nor with D. Steps may be
/// shared by threads, with the same result bit for bit: <see cref="Hidden"/> for ranges of neurons, then <see cref="Gather"/> once, then <see cref="Down"/> for ranges of outputs.
/// </summary>
/// <remarks>CATS (Lee et al., arXiv 2404.08763).</remarks>
/// <param name="up">U, [hidden, inputs].</param>
/// <param name="down">D, [hidden, outputs].</param>
/// <param name="activation">f.</param>
/// <param name="threshold">What |a| must be above to count.</param>
/// <param name="tier">Instruction set.</param>
public sealed unsafe class ContextualMlpRun(NeuronMatrix up, NeuronMatrix down, Activation activation, float threshold, KernelTier tier)
{
    /// <summary>Neurons of a part: a multiple of 16.</summary>
    private const int PartNeurons = 64;

    /// <summary>Outputs of a part: a cache line of bf16 at least, and long enough for memory to run ahead.</summary>
    private const int PartOutputs = 256;

    /// <summary>Columns of x.</summary>
    public int Inputs => up.Columns;

    /// <summary>Neurons.</summary>
    public int HiddenSize => up.Rows;

    /// <summary>Columns of the result.</summary>
    public int Outputs => down.Columns;

    /// <summary>Parts of the neurons.</summary>
    public int HiddenParts => (HiddenSize + PartNeurons - 1) / PartNeurons;

    /// <summary>Parts of the outputs.</summary>
    public int DownParts => (Outputs + PartOutputs - 1) / PartOutputs;

    /// <summary>Rows of activations that share what is read of the weights.</summary>
    public const int MaxRows = 16;

    private int Padded => HiddenParts * PartNeurons;

    /// <summary>Whether two matrices belong together.</summary>
    public static bool Fits(NeuronMatrix up, NeuronMatrix down) => up.Rows == down.Rows;

    /// <summary>Bytes of scratch for so many rows: h, the neurons that count for one of them, and theirs of h.</summary>
    public long ScratchBytes(int rows) => ((2L * rows) + 1) * Padded * sizeof(float);

    /// <summary>h of some parts of the neurons.</summary>
    /// <param name="upValues">Values of U.</param>
    /// <param name="x">[rows, inputs].</param>
    /// <param name="g">[rows, hidden].</param>
    /// <param name="rows">1 to <see cref="MaxRows"/>.</param>
    /// <param name="scratch"><see cref="ScratchBytes"/> bytes at a multiple of 64, kept until everything is done.</param>
    /// <param name="first">First part.</param>
    /// <param name="count">Their number.</param>
    public void Hidden(byte* upValues, float* x, float* g, int rows, void* scratch, int first, int count)
    {
        float* h = (float*)scratch;
        int start = first * PartNeurons;
        int end = Math.Min(HiddenSize, (first + count) * PartNeurons);
        for (int r = 0; r < rows; r++)
        {
            float* row = h + ((long)r * Padded);
            new ReadOnlySpan<float>(g + ((long)r * HiddenSize) + start, end - start).CopyTo(new Span<float>(row + start, end - start));
            new Span<float>(row + end, ((first + count) * PartNeurons) - end).Clear();
            ActivationKernels.Run(tier, activation, row + start, null, count * PartNeurons);
        }

        // Part by part, so that rows of activations find the rows of U in the caches.
        int* neurons = stackalloc int[PartNeurons];
        for (int part = start; part < end; part += PartNeurons)
        {
            for (int r = 0; r < rows; r++)
            {
                float* row = h + ((long)r * Padded);
                int kept = 0;
                for (int j = part; j < Math.Min(end, part + PartNeurons); j++)
                {
                    // NaN is not below the threshold.
                    bool counts = !(MathF.Abs(row[j]) <= threshold);
                    row[j] = counts ? row[j] : 0;
                    neurons[kept] = j;
                    kept += counts ? 1 : 0;
                }

                Multiply(upValues, neurons, kept, x + ((long)r * Inputs), row);
            }
        }
    }

    /// <summary>Brings together the neurons that count for one of the rows.</summary>
    /// <param name="rows">Rows.</param>
    /// <param name="scratch">With all of h.</param>
    /// <returns>Their number.</returns>
    public int Gather(int rows, void* scratch)
    {
        float* h = (float*)scratch;
        int* neurons = (int*)(h + ((long)rows * Padded));
        float* values = h + ((rows + 1L) * Padded);
        int count = 0;
        for (int j = 0; j < HiddenSize; j++)
        {
            bool counts = false;
            for (int r = 0; r < rows; r++)
            {
                float value = h[((long)r * Padded) + j];
                values[((long)r * Padded) + count] = value;
                counts |= value != 0;
            }

            neurons[count] = j;
            count += counts ? 1 : 0;
        }

        return count;
    }

    /// <summary>Some parts of the outputs.</summary>
    /// <param name="downValues">Values of D.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="scratch">What was brought together.</param>
    /// <param name="neurons">Number of neurons that count.</param>
    /// <param name="first">First part.</param>
    /// <param name="count">Their number.</param>
    /// <param name="y">[rows, outputs] destination.</param>
    public void Down(byte* downValues, int rows, void* scratch, int neurons, int first, int count, float* y)
    {
        int* list = (int*)((float*)scratch + ((long)rows * Padded));
        float* h = (float*)scratch + ((rows + 1L) * Padded);
        long stride = (long)Outputs * down.Width;

        // One row streams through all columns of a neuron; many rows stay in the first cache for some columns.
        int step = rows == 1 ? count : 1;
        for (int part = first; part < first + count; part += step)
        {
            int start = part * PartOutputs;
            int end = Math.Min(Outputs, (part + step) * PartOutputs);
            for (int r = 0; r < rows; r++)
            {
                new Span<float>(y + ((long)r * Outputs) + start, end - start).Clear();
            }

            switch (tier)
            {
                case KernelTier.Avx512:
                    NeuronRows<Simd512>.AddRows(downValues, stride, down.IsNarrow, list, h, Padded, neurons, y, Outputs, rows, start, end);
                    break;
                case KernelTier.Avx2:
                    NeuronRows<Simd256>.AddRows(downValues, stride, down.IsNarrow, list, h, Padded, neurons, y, Outputs, rows, start, end);
                    break;
                default:
                    NeuronRows<Simd128>.AddRows(downValues, stride, down.IsNarrow, list, h, Padded, neurons, y, Outputs, rows, start, end);
                    break;
            }
        }
    }

    private void Multiply(byte* values, int* neurons, int count, float* x, float* h)
    {
        long stride = (long)Inputs * up.Width;
        switch (tier)
        {
            case KernelTier.Avx512:
                NeuronRows<Simd512>.MultiplyRows(values, stride, up.IsNarrow, neurons, count, x, Inputs, h);
                break;
            case KernelTier.Avx2:
                NeuronRows<Simd256>.MultiplyRows(values, stride, up.IsNarrow, neurons, count, x, Inputs, h);
                break;
            default:
                NeuronRows<Simd128>.MultiplyRows(values, stride, up.IsNarrow, neurons, count, x, Inputs, h);
                break;
        }
    }
}
