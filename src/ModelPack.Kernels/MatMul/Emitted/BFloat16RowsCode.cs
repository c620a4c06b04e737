using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// Machine code for a few rows of BF16 activations times one or two tiles whose values are BF16, by products of pairs in 512 bits (AVX512_BF16) that .NET has no intrinsics for. Sums are f32 and stay in registers. Operands lie
/// in the order of their use: <see cref="PackedBFloat16"/> and, of every block, the f32 scales of each tile where blocks have them, then for every pair of columns the 64 bytes of each tile.
/// </summary>
internal static class BFloat16RowsCode
{
    /// <summary>Columns of a register's lane.</summary>
    public const int PairColumns = 2;

    /// <summary>Pairs that are written out; more of them run in a loop.</summary>
    private const int MaxUnrolled = 16;

    private const int LoopUnroll = 8;

    private const int VectorBytes = TilePlanes.VectorBytes;

    private const Gpr Blocks = Gpr.Rax;

    private const Gpr X = Gpr.Rdx;

    private const Gpr Panel = Gpr.R8;

    private const Gpr Y = Gpr.R9;

    private const Gpr Pairs = Gpr.R10;

    private const Gpr Scales = Gpr.R11;

    /// <summary>Most rows with two tiles: with scales every product has two sums.</summary>
    public static int MaxRows(bool hasScales) => hasScales ? 7 : 12;

    /// <summary>Writes the function void f(<see cref="EmittedCall"/>*).</summary>
    /// <param name="rows">Rows of activations, at most <see cref="MaxRows"/>.</param>
    /// <param name="tiles">1 or 2.</param>
    /// <param name="pairs">Pairs of columns of a block: a multiple of eight.</param>
    /// <param name="hasScales">Whether blocks have scales.</param>
    /// <param name="windows">Calling convention.</param>
    public static byte[] Write(int rows, int tiles, int pairs, bool hasScales, bool windows)
    {
        var code = new X64Assembler();
        var call = new EmittedCallCode(code, windows);
        int sums = rows * tiles;
        int totals = hasScales ? sums : 0;
        int weights = totals + sums;
        int activations = weights + tiles;
        call.Enter();
        call.Load(X, EmittedField.X);
        call.Load(Panel, EmittedField.Weights);
        call.Load(Y, EmittedField.Y);
        call.Load(Blocks, EmittedField.Blocks);
        for (int i = 0; i < sums; i++)
        {
            code.Load(totals + i, new Mem(Y, i * VectorBytes));
        }

        int block = code.Position;
        if (hasScales)
        {
            code.Move(Scales, Panel);
            code.Add(Panel, tiles * VectorBytes);
            for (int i = 0; i < sums; i++)
            {
                code.Clear(i);
            }
        }

        int unrolled = pairs <= MaxUnrolled ? pairs : LoopUnroll;
        if (unrolled < pairs)
        {
            code.Set(Pairs, pairs / unrolled);
        }

        int loop = code.Position;
        for (int p = 0; p < unrolled; p++)
        {
            for (int t = 0; t < tiles; t++)
            {
                code.Load(weights + t, new Mem(Panel, ((p * tiles) + t) * VectorBytes));
            }

            for (int r = 0; r < rows; r++)
            {
                code.Broadcast(activations, new Mem(X, ((p * rows) + r) * sizeof(int)));
                for (int t = 0; t < tiles; t++)
                {
                    code.DotBFloat16((r * tiles) + t, weights + t, activations);
                }
            }
        }

        code.Add(X, unrolled * rows * sizeof(int));
        code.Add(Panel, unrolled * tiles * VectorBytes);
        if (unrolled < pairs)
        {
            code.Loop(Pairs, loop);
        }

        for (int t = 0; hasScales && t < tiles; t++)
        {
            code.Load(weights + t, new Mem(Scales, t * VectorBytes));
            for (int r = 0; r < rows; r++)
            {
                code.MultiplyAdd(totals + (r * tiles) + t, (r * tiles) + t, weights + t);
            }
        }

        code.Loop(Blocks, block);
        for (int i = 0; i < sums; i++)
        {
            code.Store(new Mem(Y, i * VectorBytes), totals + i);
        }

        call.Leave();
        return code.Code.ToArray();
    }
}
