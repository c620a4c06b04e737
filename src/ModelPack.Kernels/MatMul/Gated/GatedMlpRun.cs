namespace ModelPack.Kernels.MatMul;

/// <summary>
/// A gated multilayer perceptron in one pass: h = f(x G^T) * (x U^T), and y = h D^T where there is a third weight. Some outputs of both first products at a time are made, activated and multiplied while they are in the first
/// cache, and left in the form that the third product reads; nothing of the size of h is written and read again in between. Steps may be shared by threads as those of <see cref="IMatMulRun"/>, with the same result bit for bit:
/// <see cref="Prepare"/>, then all of <see cref="Hidden(byte*, byte*, byte*, int, int, int, float*, bool)"/>, then <see cref="Finish"/>, then all of <see cref="Down"/>.
/// </summary>
/// <remarks>Fusion after the sparse MLP of BLaST (arXiv 2507.03117), which has the activation in the epilogue of the product.</remarks>
public sealed unsafe class GatedMlpRun : IDisposable
{
    /// <summary>Outputs of a step: a multiple of all parts.</summary>
    internal const int Step = 32;

    /// <summary>Parts of the work on one row: few, so that weights come from memory in long runs of G and U in turns.</summary>
    internal const int PartsOfRow = 8;

    private readonly IMatMulRun _gate;
    private readonly IMatMulRun _up;
    private readonly IMatMulRun? _down;
    private readonly Activation _activation;
    private readonly KernelTier _tier;

    /// <param name="gate">G, [hidden, inputs].</param>
    /// <param name="up">U, [hidden, inputs].</param>
    /// <param name="down">D, [outputs, hidden]; null where h is the result.</param>
    /// <param name="activation">f.</param>
    /// <param name="tier">Instruction set of f.</param>
    public GatedMlpRun(IMatMulRun gate, IMatMulRun up, IMatMulRun? down, Activation activation, KernelTier tier)
    {
        (_gate, _up, _down, _activation, _tier) = (gate, up, down, activation, tier);
    }

    /// <summary>Columns of x.</summary>
    public int Inputs => _gate.Inputs;

    /// <summary>Columns of h.</summary>
    public int HiddenSize => _gate.Outputs;

    /// <summary>Columns of the result.</summary>
    public int Outputs => _down?.Outputs ?? HiddenSize;

    /// <summary>Multiplications of both first products for a row.</summary>
    public double HiddenMultiplications => _gate.MultiplicationsPerRow + _up.MultiplicationsPerRow;

    /// <summary>Multiplications of the third product for a row.</summary>
    public double DownMultiplications => _down?.MultiplicationsPerRow ?? 0;

    /// <summary>Parts of the third product.</summary>
    public int DownParts => _down?.Parts ?? 0;

    /// <summary>It has a third product, of which some neighbouring outputs can be made alone.</summary>
    internal bool CanBeExpert => _down is not null && Step % _down.PartOutputs == 0;

    private bool SharesInputs => _gate.PreparesAs(_up);

    /// <summary>The third product rounds h, so that all of a row must be there first.</summary>
    private bool RoundsHidden => _down is { PreparedColumns: 0 };

    /// <summary>Whether products fit each other and are of a kind that can be fused.</summary>
    public static bool Fits(IMatMulRun gate, IMatMulRun up, IMatMulRun? down) =>
        gate.Inputs == up.Inputs && gate.Outputs == up.Outputs && (down is null || down.Inputs == gate.Outputs) && Step % gate.PartOutputs == 0 && Step % up.PartOutputs == 0;

    /// <summary>Parts of the work on h for so many rows.</summary>
    public int HiddenParts(int rows) => (HiddenSize + Width(rows) - 1) / Width(rows);

    /// <summary>Bytes of scratch for so many rows, at most <see cref="MatMulRun.MaxRows"/>.</summary>
    public long ScratchBytes(int rows) => InputBytes(rows) + HiddenBytes(rows);

    /// <summary>Of these, what x takes.</summary>
    internal long InputBytes(int rows) => Aligned(_gate.ScratchBytes(rows)) + (SharesInputs ? 0 : Aligned(_up.ScratchBytes(rows)));

    /// <summary>Of these, what h takes.</summary>
    internal long HiddenBytes(int rows) => (_down is null ? 0 : Aligned(_down.ScratchBytes(rows))) + RoundedBytes(rows);

    /// <summary>Brings x into the form that kernels read.</summary>
    /// <param name="x">[rows, inputs].</param>
    /// <param name="rows">1 to <see cref="MatMulRun.MaxRows"/>.</param>
    /// <param name="scratch"><see cref="ScratchBytes"/> bytes at a multiple of 64, kept until everything is done.</param>
    /// <param name="shared">Whether several threads do the rest.</param>
    public void Prepare(float* x, int rows, byte* scratch, bool shared)
    {
        PrepareInputs(x, rows, scratch, shared);
        PrepareHidden(rows, scratch + InputBytes(rows));
    }

    /// <summary>Whether another perceptron reads x in the same form.</summary>
    internal bool PreparesAs(GatedMlpRun other) => SharesInputs && other.SharesInputs && _gate.PreparesAs(other._gate);

    internal void PrepareInputs(float* x, int rows, byte* inputs, bool shared)
    {
        _gate.Prepare(x, rows, inputs, shared);
        if (!SharesInputs)
        {
            _up.Prepare(x, rows, UpInputs(inputs, rows), shared);
        }
    }

    /// <summary>Sets the columns of h that do not exist to zero.</summary>
    internal void PrepareHidden(int rows, byte* hidden)
    {
        if (_down is null || RoundsHidden)
        {
            return;
        }

        float* h = (float*)hidden;
        if (rows == 1)
        {
            new Span<float>(h + HiddenSize, _down.PreparedColumns - HiddenSize).Clear();
        }
        else
        {
            Interleaving.Pad(rows, HiddenSize, _down.PreparedColumns, h);
        }
    }

    /// <summary>Makes some columns of h.</summary>
    /// <param name="gateTiles">Execution layout of G.</param>
    /// <param name="upTiles">Execution layout of U.</param>
    /// <param name="scratch">What was prepared.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="first">First part.</param>
    /// <param name="count">Their number.</param>
    /// <param name="y">[rows, hidden] destination where there is no third weight.</param>
    /// <param name="shared">Whether other threads read h.</param>
    public void Hidden(byte* gateTiles, byte* upTiles, byte* scratch, int rows, int first, int count, float* y, bool shared) =>
        Hidden(gateTiles, upTiles, scratch, _down is null ? y : (float*)(scratch + InputBytes(rows)), rows, first, count, shared);

    /// <summary>The same with x and h in different places.</summary>
    internal void Hidden(byte* gateTiles, byte* upTiles, byte* inputs, float* h, int rows, int first, int count, bool shared)
    {
        int width = Width(rows);
        float* gate = (float*)ThreadScratch.Get(ScratchUse.Hidden, 2L * rows * width * sizeof(float));
        float* up = gate + ((long)rows * width);
        byte* upInputs = SharesInputs ? inputs : UpInputs(inputs, rows);
        for (int part = first; part < first + count; part++)
        {
            int start = part * width;
            int columns = Math.Min(width, HiddenSize - start);
            if (columns < width)
            {
                new Span<float>(gate, 2 * rows * width).Clear();
            }

            Multiply(_gate, gateTiles, inputs, rows, start, columns, new MatMulOutput(gate, width, start, null));
            Multiply(_up, upTiles, upInputs, rows, start, columns, new MatMulOutput(up, width, start, null));
            ActivationKernels.Run(_tier, _activation, gate, up, rows * width);
            if (_down is not null && !RoundsHidden && rows > 1)
            {
                Interleaving.Columns(gate, width, rows, columns, _down.PreparedColumns, h + ((long)MatMulRun.Batch * start), shared);
                continue;
            }

            for (int r = 0; r < rows; r++)
            {
                new ReadOnlySpan<float>(gate + (r * width), columns).CopyTo(new Span<float>(h + ((long)r * HiddenSize) + start, columns));
            }
        }
    }

    /// <summary>Brings all of h into the form that the third product reads, where it is not made in that form.</summary>
    /// <param name="scratch">With all of h.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="shared">Whether several threads do the rest.</param>
    public void Finish(byte* scratch, int rows, bool shared) => FinishHidden(scratch + InputBytes(rows), rows, shared);

    internal void FinishHidden(byte* hidden, int rows, bool shared)
    {
        if (RoundsHidden)
        {
            _down!.Prepare((float*)hidden, rows, hidden + RoundedBytes(rows), shared);
        }
    }

    /// <summary>Makes some outputs of h.</summary>
    /// <param name="tiles">Execution layout of D.</param>
    /// <param name="scratch">With all of h.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="first">First part.</param>
    /// <param name="count">Their number.</param>
    /// <param name="y">[rows, outputs] destination.</param>
    public void Down(byte* tiles, byte* scratch, int rows, int first, int count, float* y) =>
        _down!.Run(tiles, scratch + InputBytes(rows) + RoundedBytes(rows), rows, first, count, null, y);

    /// <summary>Makes some neighbouring outputs, the first of which begins a part.</summary>
    internal void DownColumns(byte* tiles, byte* hidden, int rows, int start, int columns, in MatMulOutput to) =>
        Multiply(_down!, tiles, hidden + RoundedBytes(rows), rows, start, columns, to);

    /// <inheritdoc/>
    public void Dispose()
    {
        _gate.Dispose();
        _up.Dispose();
        _down?.Dispose();
    }

    private static void Multiply(IMatMulRun run, byte* tiles, byte* scratch, int rows, int start, int columns, in MatMulOutput to)
    {
        int first = start / run.PartOutputs;
        run.Run(tiles, scratch, rows, first, ((start + columns + run.PartOutputs - 1) / run.PartOutputs) - first, to);
    }

    private int Width(int rows) => rows == 1 ? Math.Max(1, HiddenSize / (PartsOfRow * Step)) * Step : Step;

    internal static long Aligned(long bytes) => (bytes + 63) & -64L;

    private byte* UpInputs(byte* inputs, int rows) => inputs + Aligned(_gate.ScratchBytes(rows));

    /// <summary>Bytes of h as f32 in front of its rounded form.</summary>
    private long RoundedBytes(int rows) => RoundsHidden ? Aligned((long)rows * HiddenSize * sizeof(float)) : 0;
}
