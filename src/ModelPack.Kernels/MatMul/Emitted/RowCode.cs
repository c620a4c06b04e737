using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// Machine code for one row of activations times some tiles, block by block: what is the same whatever activations and codes are. It is the function void f(<see cref="EmittedCall"/>*) with <see cref="EmittedCall.Y"/> [tiles, 16].
/// </summary>
/// <remarks>
/// Four tiles together are four streams from memory, and activations are loaded once for them: two cores then read weights of four bits at 0.95 of what reading alone takes or faster, with one tile at 0.60 to 0.78 (32768 x 4096 and
/// 131072 x 4096, 2 virtual cores of an AMD EPYC, family 26 model 2, 2026-11-30). Each stream is asked for 2 KiB ahead: with 4 KiB it is 0.87 to 0.91, without asking 0.88 to 1.02. Eight streams are slower again.
/// Zen 4 is faster without asking, whatever the distance: one core 0.83 instead of 0.54 to 0.63 for int4 and mxfp4, 0.92 instead of 0.78 for fp8 (family 25 model 17, the same day).
/// </remarks>
internal abstract class RowCode
{
    /// <summary>Most tiles that are done together.</summary>
    public const int MaxTiles = 4;

    protected const int VectorBytes = TilePlanes.VectorBytes;

    protected const Gpr X = Gpr.Rdx;

    protected const Gpr Weights = Gpr.R8;

    /// <summary>Free outside of the loop over steps.</summary>
    protected const Gpr Loop = Gpr.R9;

    protected const Gpr Zeros = Gpr.R11;

    private const Gpr Blocks = Gpr.Rax;

    private const Gpr Scales = Gpr.R10;

    private readonly EmittedCallCode _call;
    private readonly long _tileBytes;
    private readonly TileScale _scale;
    private readonly int _ahead;

    /// <param name="tiles">Tiles that are done together.</param>
    /// <param name="tileBytes">From one of them to the next.</param>
    /// <param name="scale">Stored type of scales of blocks; <see cref="TileScale.None"/> where blocks have none.</param>
    /// <param name="windows">Calling convention.</param>
    protected RowCode(int tiles, long tileBytes, TileScale scale, bool windows)
    {
        _call = new EmittedCallCode(Code, windows);
        Tiles = tiles;
        _tileBytes = tileBytes;
        _scale = scale;
        _ahead = CpuFeatures.AmdFamily == CpuFeatures.Zen4 ? 0 : Math.Min(Prefetching.AheadBytes, 2 * Prefetching.AheadBytes / tiles);
    }

    protected X64Assembler Code { get; } = new();

    protected int Tiles { get; }

    protected bool HasScales => _scale != TileScale.None;

    /// <summary>Register of the outputs of a tile so far.</summary>
    protected abstract int Total(int tile);

    /// <summary>What stays in registers; <see cref="Loop"/> has the address of the table.</summary>
    protected abstract void Constants();

    /// <summary>Sums of a block that begins.</summary>
    protected abstract void Begin();

    /// <summary>Adds a step of a block for all tiles.</summary>
    protected abstract void Step(int step);

    /// <summary>Adds the sums of a block to the total of a tile.</summary>
    protected abstract void End(int tile);

    /// <summary>Writes the function.</summary>
    /// <param name="steps">Steps of a block.</param>
    /// <param name="unrolled">How many of them are written out, which divides them; more of them run in a loop.</param>
    /// <param name="activationBytes">Activations of a step.</param>
    /// <param name="weightBytes">Codes of a step.</param>
    protected byte[] Write(int steps, int unrolled, int activationBytes, int weightBytes)
    {
        _call.Enter();
        _call.Load(Loop, EmittedField.Table);
        Constants();
        _call.Load(Loop, EmittedField.Y);
        for (int tile = 0; tile < Tiles; tile++)
        {
            Code.Load(Total(tile), new Mem(Loop, tile * VectorBytes));
        }

        _call.Load(Blocks, EmittedField.Blocks);
        _call.Load(X, EmittedField.X);
        _call.Load(Weights, EmittedField.Weights);
        _call.Load(Scales, EmittedField.Scales);
        _call.Load(Zeros, EmittedField.Zeros);
        int block = Code.Position;
        Begin();
        if (unrolled < steps)
        {
            Code.Set(Loop, steps / unrolled);
        }

        int loop = Code.Position;
        for (int step = 0; step < unrolled; step++)
        {
            Step(step);
        }

        Code.Add(X, unrolled * activationBytes);
        Code.Add(Weights, unrolled * weightBytes);
        if (unrolled < steps)
        {
            Code.Loop(Loop, loop);
        }

        for (int tile = 0; tile < Tiles; tile++)
        {
            End(tile);
        }

        if (HasScales)
        {
            Code.Add(Scales, TileLayout.TileRows * _scale.Bytes());
        }

        Code.Loop(Blocks, block);
        _call.Load(Loop, EmittedField.Y);
        for (int tile = 0; tile < Tiles; tile++)
        {
            Code.Store(new Mem(Loop, tile * VectorBytes), Total(tile));
        }

        _call.Leave();
        return Code.Code.ToArray();
    }

    /// <summary>A place in a tile.</summary>
    protected Mem At(Gpr start, int offset, int tile) => new(start, checked((int)(offset + (tile * _tileBytes))));

    /// <summary>What is read now is asked for, further on.</summary>
    protected void Prefetch(Mem at)
    {
        if (_ahead > 0)
        {
            Code.Prefetch(at + _ahead);
        }
    }

    /// <summary>to = scales of the block of a tile.</summary>
    protected void LoadScales(int to, int tile)
    {
        Mem at = At(Scales, 0, tile);
        EmittedScales.Load(Code, to, at, _scale);

        // Behind the scales of a tile come its codes: by the time they are due their first lines have been asked for, as those of the next tile by its codes.
        Prefetch(at);
    }
}
