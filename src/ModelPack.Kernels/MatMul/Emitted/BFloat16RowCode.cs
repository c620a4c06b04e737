using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>A kind of weights that <see cref="BFloat16RowCode"/> is written for.</summary>
/// <param name="Groups">Groups of four columns of a block: a multiple of four.</param>
/// <param name="Scale">Stored type of scales of blocks; <see cref="TileScale.None"/> where blocks have none.</param>
/// <param name="Tiles">Tiles that are done together, 1 to <see cref="BFloat16RowCode.MaxTiles"/>.</param>
/// <param name="TileBytes">From one of them to the next.</param>
internal readonly record struct BFloat16RowShape(int Groups, TileScale Scale, int Tiles, long TileBytes);

/// <summary>
/// Machine code for one row of BF16 activations times some tiles of <see cref="ValueKind.PairedSigned"/>, such as FP8: both bytes of 64 values are looked up at once (AVX512_VBMI), and pairs of columns multiplied (AVX512_BF16). That is
/// 10 instructions for four columns of 16 rows; in f32 they are over 20, which one core waits for, not for memory.
/// </summary>
internal static class BFloat16RowCode
{
    /// <summary>Of a table: upper bytes of the values of all codes, then lower bytes.</summary>
    private const int PlaneBytes = 256;

    private const int VectorBytes = TilePlanes.VectorBytes;

    /// <summary>Activations of the four columns of a vector of codes.</summary>
    private const int GroupBytes = 4 * sizeof(ushort);

    /// <summary>Most tiles that are done together: as many streams from memory, see <see cref="IntegerRowCode"/>.</summary>
    public const int MaxTiles = 4;

    /// <summary>Groups that are written out; more of them run in a loop.</summary>
    private const int MaxUnrolled = 8;

    private const int LoopUnroll = 4;

    /// <summary>Sums of a tile, however many are done together: the same products are added in the same order.</summary>
    private const int Sums = 4;

    private const int Totals = MaxTiles * Sums;

    /// <summary>Four vectors: upper bytes, then lower bytes, of the values of codes 0 to 127.</summary>
    private const int Tables = Totals + MaxTiles;

    private const int Signs = Tables + 4;
    private const int Activations = Signs + 1;
    private const int MoreActivations = Signs + 2;
    private const int Upper = Signs + 3;
    private const int Lower = Signs + 4;
    private const int Pairs = Signs + 5;
    private const int MorePairs = Signs + 6;

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
        for (int tile = 0; tile < shape.Tiles; tile++)
        {
            code.Load(Totals + tile, new Mem(Loop, tile * VectorBytes));
        }

        call.Load(Blocks, EmittedField.Blocks);
        call.Load(X, EmittedField.X);
        call.Load(Weights, EmittedField.Weights);
        call.Load(Scales, EmittedField.Scales);
        int block = code.Position;
        for (int i = 0; i < Sums * shape.Tiles; i++)
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
            code.Broadcast(Activations, new Mem(X, group * GroupBytes));
            code.Broadcast(MoreActivations, new Mem(X, (group * GroupBytes) + sizeof(int)));
            for (int tile = 0; tile < shape.Tiles; tile++)
            {
                Group(code, shape, group, tile);
            }
        }

        code.Add(X, unrolled * GroupBytes);
        code.Add(Weights, unrolled * VectorBytes);
        if (unrolled < shape.Groups)
        {
            code.Loop(Loop, loop);
        }

        for (int tile = 0; tile < shape.Tiles; tile++)
        {
            End(code, shape, tile);
        }

        if (shape.Scale != TileScale.None)
        {
            code.Add(Scales, TileLayout.TileRows * shape.Scale.Bytes());
        }

        code.Loop(Blocks, block);
        call.Load(Loop, EmittedField.Y);
        for (int tile = 0; tile < shape.Tiles; tile++)
        {
            code.Store(new Mem(Loop, tile * VectorBytes), Totals + tile);
        }

        call.Leave();
        return code.Code.ToArray();
    }

    /// <summary>A place in a tile.</summary>
    private static Mem At(BFloat16RowShape shape, Gpr start, int offset, int tile) => new(start, checked((int)(offset + (tile * shape.TileBytes))));

    /// <summary>How far ahead each tile is asked for.</summary>
    private static int Ahead(BFloat16RowShape shape) => Math.Min(Prefetching.AheadBytes, 2 * Prefetching.AheadBytes / shape.Tiles);

    /// <summary>Four columns of 16 rows.</summary>
    private static void Group(X64Assembler code, BFloat16RowShape shape, int group, int tile)
    {
        Mem codes = At(shape, Weights, group * VectorBytes, tile);
        code.Load(Upper, codes);
        code.Load(Lower, codes);
        code.Prefetch(codes + Ahead(shape));
        code.PermuteBytesOfTwo(Upper, Tables, Tables + 1);
        code.PermuteBytesOfTwo(Lower, Tables + 2, Tables + 3);
        code.Ternary(Upper, Signs, codes, OrAnd);
        code.UnpackLowBytes(Pairs, Lower, Upper);
        code.UnpackHighBytes(MorePairs, Lower, Upper);
        int sum = (tile * Sums) + (2 * (group % (Sums / 2)));
        code.DotBFloat16(sum, Pairs, Activations);
        code.DotBFloat16(sum + 1, MorePairs, MoreActivations);
    }

    /// <summary>total += sums x scale.</summary>
    private static void End(X64Assembler code, BFloat16RowShape shape, int tile)
    {
        int first = tile * Sums;
        for (int step = Sums / 2; step > 0; step /= 2)
        {
            for (int i = first; i < first + step; i++)
            {
                code.AddSingles(i, i, i + step);
            }
        }

        if (shape.Scale == TileScale.None)
        {
            code.AddSingles(Totals + tile, Totals + tile, first);
            return;
        }

        Mem at = At(shape, Scales, 0, tile);
        EmittedScales.Load(code, Upper, at, shape.Scale);
        code.Prefetch(at + Ahead(shape));
        code.MultiplyAdd(Totals + tile, first, Upper);
    }
}
