using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// Machine code for one row of f32 activations times some tiles of f16, as <see cref="FloatMatVec{TSimd, TCodes, TValues}"/> with <see cref="HalfValues"/> and the same bits. Pairs of columns of eight rows are converted where they lie and
/// multiplied with pairs of activations: two instructions for 16 values. Sums of a tile are the first two columns of rows 0 to 7 and 8 to 15, then the other two; rows and columns are parted when sums are joined.
/// </summary>
internal sealed class HalfRowCode : FourSumsRowCode
{
    private const int UnitGroups = 4;

    /// <summary>Bytes of a group: two vectors, each of two columns.</summary>
    private const int GroupBytes = 2 * VectorBytes;

    /// <summary>Activations of a group.</summary>
    private const int ActivationBytes = 4 * sizeof(float);

    /// <summary>Units that are written out, over all tiles.</summary>
    private const int MaxUnrolled = 8;

    /// <summary>Places of the first columns of pairs among 32, then of the second.</summary>
    private const int Even = Free;

    private const int Odd = Even + 1;
    private const int Activations = Even + 2;
    private const int MoreActivations = Even + 3;
    private const int Value = Even + 4;
    private const int MoreValues = Even + 5;

    private HalfRowCode(FloatRowShape shape, bool windows)
        : base(shape.Tiles, shape.TileBytes, shape.Scale, windows)
    {
    }

    /// <summary>The table that functions take.</summary>
    public static int[] Places { get; } = Pinned();

    /// <summary>Writes the function, with f32 activations.</summary>
    /// <param name="shape">The kind of weights.</param>
    /// <param name="windows">Calling convention.</param>
    public static byte[] Write(FloatRowShape shape, bool windows)
    {
        int unrolled = shape.Units <= MaxUnrolled / shape.Tiles ? shape.Units : shape.Units % 2 == 0 ? 2 : 1;
        return new HalfRowCode(shape, windows).Write(shape.Units, unrolled, UnitGroups * ActivationBytes, UnitGroups * GroupBytes);
    }

    protected override void Constants()
    {
        Code.Load(Even, new Mem(Loop, 0));
        Code.Load(Odd, new Mem(Loop, VectorBytes));
    }

    /// <summary>A unit.</summary>
    protected override void Step(int step)
    {
        for (int group = step * UnitGroups; group < (step + 1) * UnitGroups; group++)
        {
            Code.BroadcastPair(Activations, new Mem(X, group * ActivationBytes));
            Code.BroadcastPair(MoreActivations, new Mem(X, (group * ActivationBytes) + (ActivationBytes / 2)));
            for (int tile = 0; tile < Tiles; tile++)
            {
                for (int sum = 0; sum < Sums; sum++)
                {
                    Mem at = At(Weights, (group * GroupBytes) + (sum * VectorBytes / 2), tile);
                    Code.WidenHalves(Value, at);
                    Code.MultiplyAdd((tile * Sums) + sum, Value, sum < Sums / 2 ? Activations : MoreActivations);
                    if (sum % 2 == 0)
                    {
                        Prefetch(at);
                    }
                }
            }
        }
    }

    protected override void End(int tile)
    {
        int first = tile * Sums;
        for (int pair = first; pair < first + Sums; pair += 2)
        {
            Code.Or(Value, Even, Even);
            Code.Or(MoreValues, Odd, Odd);
            Code.PermuteSinglesOfTwo(Value, pair, pair + 1);
            Code.PermuteSinglesOfTwo(MoreValues, pair, pair + 1);
            Code.AddSingles(pair, Value, MoreValues);
        }

        Code.AddSingles(first, first, first + 2);
        Code.AddSingles(Total(tile), Total(tile), first);
    }

    private static int[] Pinned()
    {
        int[] places = GC.AllocateArray<int>(2 * TileLayout.TileRows, pinned: true);
        for (int i = 0; i < places.Length; i++)
        {
            places[i] = (2 * (i % TileLayout.TileRows)) + (i / TileLayout.TileRows);
        }

        return places;
    }
}
