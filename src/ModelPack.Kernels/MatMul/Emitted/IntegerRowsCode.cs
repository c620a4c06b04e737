using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// Machine code for a few rows of activations times one or two tiles, with the products of bytes in 512 bits that .NET has no intrinsics for: all sums stay in registers. The same operations in the same order as
/// <see cref="IntegerMatMul{TSimd, TCodes, TMap, TDot}"/>, so the same bits.
/// </summary>
/// <remarks>Both operands are packed in the order of their use, after Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication (2008): see <see cref="PackedActivations"/> and <see cref="TilePanel"/>.</remarks>
internal static class IntegerRowsCode
{
    /// <summary>Most rows with two tiles: an integer and a f32 sum of each, two vectors of codes and one of activations fill 31 of 32 registers.</summary>
    public const int MaxRows = 7;

    /// <summary>Groups that are written out; more of them run in a loop.</summary>
    private const int MaxUnrolled = 16;

    private const int LoopUnroll = 4;

    private const int VectorBytes = TilePlanes.VectorBytes;

    private const Gpr Blocks = Gpr.Rax;

    private const Gpr X = Gpr.Rdx;

    private const Gpr Panel = Gpr.R8;

    private const Gpr BlockX = Gpr.R9;

    private const Gpr Groups = Gpr.R10;

    private const Gpr BlockPanel = Gpr.R11;

    /// <summary>Writes the function void f(<see cref="EmittedCall"/>*).</summary>
    /// <param name="rows">Rows of activations, at most <see cref="MaxRows"/>.</param>
    /// <param name="tiles">1 or 2.</param>
    /// <param name="groups">Groups of four columns of a block: a multiple of four.</param>
    /// <param name="hasZeros">Whether blocks have zero points of their own.</param>
    /// <param name="windows">Calling convention.</param>
    public static byte[] Write(int rows, int tiles, int groups, bool hasZeros, bool windows)
    {
        var code = new X64Assembler();
        var call = new EmittedCallCode(code, windows);
        int sums = rows * tiles;
        int codes = 2 * sums;
        int activations = codes + tiles;
        call.Enter();
        call.Load(X, EmittedField.X);
        call.Load(Panel, EmittedField.Weights);
        call.Load(BlockX, EmittedField.Y);
        call.Load(Blocks, EmittedField.Blocks);
        for (int i = 0; i < sums; i++)
        {
            code.Load(sums + i, new Mem(BlockX, i * VectorBytes));
        }

        int block = code.Position;
        code.Move(BlockX, X);
        code.Move(BlockPanel, Panel);
        for (int t = 0; t < tiles; t++)
        {
            if (hasZeros)
            {
                code.Load(codes, new Mem(Panel, (tiles + t) * VectorBytes));
            }

            for (int r = 0; r < rows; r++)
            {
                var sum = new Mem(X, (rows + r) * sizeof(int));
                if (hasZeros)
                {
                    code.MultiplyIntegers((r * tiles) + t, codes, sum);
                }
                else
                {
                    code.Broadcast((r * tiles) + t, sum);
                }
            }
        }

        code.Add(X, PackedActivations.HeaderBytes(rows));
        code.Add(Panel, TilePanel.HeaderBytes(tiles, hasZeros));
        int unrolled = groups <= MaxUnrolled ? groups : LoopUnroll;
        if (unrolled < groups)
        {
            code.Set(Groups, groups / unrolled);
        }

        int loop = code.Position;
        for (int g = 0; g < unrolled; g++)
        {
            for (int t = 0; t < tiles; t++)
            {
                code.Load(codes + t, new Mem(Panel, ((g * tiles) + t) * VectorBytes));
            }

            for (int r = 0; r < rows; r++)
            {
                code.Broadcast(activations, new Mem(X, ((g * rows) + r) * sizeof(int)));
                for (int t = 0; t < tiles; t++)
                {
                    code.DotBytes((r * tiles) + t, codes + t, activations);
                }
            }
        }

        code.Add(X, unrolled * rows * sizeof(int));
        code.Add(Panel, unrolled * tiles * VectorBytes);
        if (unrolled < groups)
        {
            code.Loop(Groups, loop);
        }

        for (int t = 0; t < tiles; t++)
        {
            code.Load(codes + t, new Mem(BlockPanel, t * VectorBytes));
        }

        for (int r = 0; r < rows; r++)
        {
            for (int t = 0; t < tiles; t++)
            {
                int i = (r * tiles) + t;
                code.Multiply(activations, codes + t, new Mem(BlockX, r * sizeof(float)));
                code.ToSingle(i, i);
                code.MultiplyAdd(sums + i, i, activations);
            }
        }

        code.Loop(Blocks, block);
        call.Load(BlockX, EmittedField.Y);
        for (int i = 0; i < sums; i++)
        {
            code.Store(new Mem(BlockX, i * VectorBytes), sums + i);
        }

        call.Leave();
        return code.Code.ToArray();
    }
}
