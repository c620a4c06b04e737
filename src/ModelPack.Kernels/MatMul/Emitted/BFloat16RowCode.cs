using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>A kind of weights that <see cref="BFloat16RowCode"/> is written for.</summary>
/// <param name="Groups">Groups of four columns of a block: a multiple of four.</param>
/// <param name="Scale">Stored type of scales of blocks; <see cref="TileScale.None"/> where blocks have none.</param>
/// <param name="Tiles">Tiles that are done together, 1 to <see cref="RowCode.MaxTiles"/>.</param>
/// <param name="TileBytes">From one of them to the next.</param>
internal readonly record struct BFloat16RowShape(int Groups, TileScale Scale, int Tiles, long TileBytes);

/// <summary>
/// Machine code for one row of BF16 activations times some tiles of <see cref="ValueKind.PairedSigned"/>, such as FP8: both bytes of 64 values are looked up at once (AVX512_VBMI), and pairs of columns multiplied (AVX512_BF16). That is
/// 10 instructions for four columns of 16 rows; in f32 they are over 20, which one core waits for, not for memory.
/// </summary>
internal sealed class BFloat16RowCode : FourSumsRowCode
{
    /// <summary>Of a table: upper bytes of the values of all codes, then lower bytes.</summary>
    private const int PlaneBytes = 256;

    /// <summary>Activations of the four columns of a vector of codes.</summary>
    private const int GroupBytes = 4 * sizeof(ushort);

    /// <summary>Groups that are written out; of more of them <see cref="LoopUnroll"/>.</summary>
    private const int MaxUnrolled = 8;

    private const int LoopUnroll = 4;

    /// <summary>Four vectors: upper bytes, then lower bytes, of the values of codes 0 to 127.</summary>
    private const int Tables = Free;

    private const int Signs = Tables + 4;
    private const int Activations = Signs + 1;
    private const int MoreActivations = Signs + 2;
    private const int Upper = Signs + 3;
    private const int Lower = Signs + 4;
    private const int Pairs = Signs + 5;
    private const int MorePairs = Signs + 6;

    /// <summary>Bits of a | (b and c).</summary>
    private const byte OrAnd = 0b1111_1000;

    private BFloat16RowCode(BFloat16RowShape shape, bool windows)
        : base(shape.Tiles, shape.TileBytes, shape.Scale, windows)
    {
    }

    /// <summary>Writes the function, with, as its table, that of the weight behind the f32 values.</summary>
    /// <param name="shape">The kind of weights.</param>
    /// <param name="windows">Calling convention.</param>
    public static byte[] Write(BFloat16RowShape shape, bool windows) =>
        new BFloat16RowCode(shape, windows).Write(shape.Groups, shape.Groups <= MaxUnrolled ? shape.Groups : LoopUnroll, GroupBytes, VectorBytes);

    protected override void Constants()
    {
        for (int i = 0; i < 4; i++)
        {
            Code.Load(Tables + i, new Mem(Loop, (i / 2 * PlaneBytes) + (i % 2 * VectorBytes)));
        }

        Code.Set(Loop, unchecked((int)0x80808080));
        Code.Broadcast(Signs, Loop);
    }

    /// <summary>Four columns.</summary>
    protected override void Step(int step)
    {
        Code.Broadcast(Activations, new Mem(X, step * GroupBytes));
        Code.Broadcast(MoreActivations, new Mem(X, (step * GroupBytes) + sizeof(int)));
        for (int tile = 0; tile < Tiles; tile++)
        {
            Mem codes = At(Weights, step * VectorBytes, tile);
            Code.Load(Upper, codes);
            Code.Load(Lower, codes);
            Prefetch(codes);
            Code.PermuteBytesOfTwo(Upper, Tables, Tables + 1);
            Code.PermuteBytesOfTwo(Lower, Tables + 2, Tables + 3);
            Code.Ternary(Upper, Signs, codes, OrAnd);
            Code.UnpackLowBytes(Pairs, Lower, Upper);
            Code.UnpackHighBytes(MorePairs, Lower, Upper);
            int sum = (tile * Sums) + (2 * (step % (Sums / 2)));
            Code.DotBFloat16(sum, Pairs, Activations);
            Code.DotBFloat16(sum + 1, MorePairs, MoreActivations);
        }
    }

    protected override void End(int tile)
    {
        int first = tile * Sums;
        for (int step = Sums / 2; step > 0; step /= 2)
        {
            for (int i = first; i < first + step; i++)
            {
                Code.AddSingles(i, i, i + step);
            }
        }

        if (!HasScales)
        {
            Code.AddSingles(Total(tile), Total(tile), first);
            return;
        }

        LoadScales(Upper, tile);
        Code.MultiplyAdd(Total(tile), first, Upper);
    }
}
