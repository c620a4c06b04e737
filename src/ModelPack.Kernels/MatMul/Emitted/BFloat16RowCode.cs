using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>A kind of weights that <see cref="BFloat16RowCode"/> is written for.</summary>
/// <param name="Groups">Groups of four columns of a block: a multiple of four.</param>
/// <param name="Scale">Stored type of scales of blocks; <see cref="TileScale.None"/> where blocks have none.</param>
internal readonly record struct BFloat16RowShape(int Groups, TileScale Scale);

/// <summary>
/// Machine code for one row of BF16 activations times one tile of <see cref="ValueKind.PairedSigned"/>, such as FP8: both bytes of 64 values are looked up at once (AVX512_VBMI), and pairs of columns multiplied (AVX512_BF16). That is
/// 10 instructions for four columns of 16 rows; in f32 they are over 20, which one core waits for, not for memory.
/// </summary>
internal static class BFloat16RowCode
{
    /// <summary>Of a table: upper bytes of the values of all codes, then lower bytes.</summary>
    private const int PlaneBytes = 256;

    private const int VectorBytes = TilePlanes.VectorBytes;

    /// <summary>Activations of the four columns of a vector of codes.</summary>
    private const int GroupBytes = 4 * sizeof(ushort);

    /// <summary>Groups that are written out; more of them run in a loop.</summary>
    private const int MaxUnrolled = 8;

    private const int LoopUnroll = 4;

    /// <summary>Sums, so that no product waits for the one before.</summary>
    private const int Sums = 8;

    private const int Total = 8;
    private const int Upper = 9;
    private const int Lower = 10;
    private const int Pairs = 11;
    private const int MorePairs = 12;

    /// <summary>Four vectors: upper bytes, then lower bytes, of the values of codes 0 to 127.</summary>
    private const int Tables = 16;

    private const int Signs = 20;

    private const Gpr Blocks = Gpr.Rax;
    private const Gpr X = Gpr.Rdx;
    private const Gpr Weights = Gpr.R8;
    private const Gpr Loop = Gpr.R9;
    private const Gpr Scales = Gpr.R10;

    /// <summary>Bits of a | (b and c).</summary>
    private const byte OrAnd = 0b1111_1000;

    /// <summary>Writes the function void f(<see cref="EmittedCall"/>*) with <see cref="EmittedCall.Y"/> [16] and, as its table, that of the weight behind the f32 values.</summary>
    /// <param name="shape">The kind of weights.</param>
    /// <param name="windows">Calling convention.</param>
    public static byte[] Write(BFloat16RowShape shape, bool windows)
    {
        var code = new X64Assembler();
        var call = new EmittedCallCode(code, windows);
        call.Enter();
        call.Load(Loop, EmittedField.Table);
        for (int i = 0; i < 4; i++)
        {
            code.Load(Tables + i, new Mem(Loop, (i / 2 * PlaneBytes) + (i % 2 * VectorBytes)));
        }

        code.Set(Loop, unchecked((int)0x80808080));
        code.Broadcast(Signs, Loop);
        call.Load(Loop, EmittedField.Y);
        code.Load(Total, new Mem(Loop, 0));
        call.Load(Blocks, EmittedField.Blocks);
        call.Load(X, EmittedField.X);
        call.Load(Weights, EmittedField.Weights);
        call.Load(Scales, EmittedField.Scales);
        int block = code.Position;
        for (int i = 0; i < Sums; i++)
        {
            code.Clear(i);
        }

        int unrolled = shape.Groups <= MaxUnrolled ? shape.Groups : LoopUnroll;
        if (unrolled < shape.Groups)
        {
            code.Set(Loop, shape.Groups / unrolled);
        }

        int loop = code.Position;
        for (int group = 0; group < unrolled; group++)
        {
            Group(code, group);
        }

        code.Add(X, unrolled * GroupBytes);
        code.Add(Weights, unrolled * VectorBytes);
        if (unrolled < shape.Groups)
        {
            code.Loop(Loop, loop);
        }

        for (int step = Sums / 2; step > 0; step /= 2)
        {
            for (int i = 0; i < step; i++)
            {
                code.AddSingles(i, i, i + step);
            }
        }

        if (shape.Scale == TileScale.None)
        {
            code.AddSingles(Total, Total, 0);
        }
        else
        {
            var at = new Mem(Scales, 0);
            EmittedScales.Load(code, Upper, at, shape.Scale);
            code.Prefetch(at + Prefetching.AheadBytes);
            code.MultiplyAdd(Total, 0, Upper);
            code.Add(Scales, TileLayout.TileRows * shape.Scale.Bytes());
        }

        code.Loop(Blocks, block);
        call.Load(Loop, EmittedField.Y);
        code.Store(new Mem(Loop, 0), Total);
        call.Leave();
        return code.Code.ToArray();
    }

    /// <summary>Four columns of 16 rows.</summary>
    private static void Group(X64Assembler code, int group)
    {
        var codes = new Mem(Weights, group * VectorBytes);
        code.Load(Upper, codes);
        code.Load(Lower, codes);
        code.Prefetch(codes + Prefetching.AheadBytes);
        code.PermuteBytesOfTwo(Upper, Tables, Tables + 1);
        code.PermuteBytesOfTwo(Lower, Tables + 2, Tables + 3);
        code.Ternary(Upper, Signs, codes, OrAnd);
        code.UnpackLowBytes(Pairs, Lower, Upper);
        code.UnpackHighBytes(MorePairs, Lower, Upper);
        int sum = 2 * (group % (Sums / 2));
        code.DotBFloat16(sum, Pairs, new Mem(X, group * GroupBytes));
        code.DotBFloat16(sum + 1, MorePairs, new Mem(X, (group * GroupBytes) + sizeof(int)));
    }
}
