using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>A kind of weights that <see cref="FloatRowCode"/> is written for.</summary>
/// <param name="Bits">Width of a code: 2 or 4 of <see cref="ValueKind.Table16"/>, 8 of <see cref="ValueKind.Linear"/>.</param>
/// <param name="Units">Units of 16 columns of a block.</param>
/// <param name="Scale">Stored type of scales.</param>
/// <param name="Tiles">Tiles that are done together, 1 to <see cref="FloatRowCode.MaxTiles"/>.</param>
/// <param name="TileBytes">From one of them to the next.</param>
internal readonly record struct FloatRowShape(int Bits, int Units, TileScale Scale, int Tiles, long TileBytes);

/// <summary>
/// Machine code for one row of f32 activations times some tiles, as <see cref="FloatMatVec{TSimd, TCodes, TValues}"/> with <see cref="Table16Values"/> or <see cref="LinearValues"/> and the same bits: the table, or zero point, stays in a
/// register, activations are loaded once for all tiles, and each tile is a stream from memory of its own (<see cref="IntegerRowCode"/>).
/// </summary>
internal static class FloatRowCode
{
    /// <summary>Most tiles that are done together.</summary>
    public const int MaxTiles = 4;

    private const int VectorBytes = TilePlanes.VectorBytes;

    private const int UnitGroups = 4;

    /// <summary>Columns of a group, each with a sum of its own.</summary>
    private const int Columns = 4;

    /// <summary>Units that are written out, over all tiles; more of them run in a loop.</summary>
    private const int MaxUnrolled = 8;

    private const int Totals = MaxTiles * Columns;
    private const int Vectors = Totals + MaxTiles;
    private const int Table = Vectors + MaxTiles;
    private const int Activations = Table + 1;
    private const int Value = Table + 2;
    private const int Mask = Table + 3;

    private const Gpr Blocks = Gpr.Rax;
    private const Gpr X = Gpr.Rdx;
    private const Gpr Weights = Gpr.R8;
    private const Gpr Loop = Gpr.R9;
    private const Gpr Scales = Gpr.R10;

    /// <summary>Writes the function void f(<see cref="EmittedCall"/>*) with <see cref="EmittedCall.Y"/> [tiles, 16], f32 activations and a table of 16 f32: values by code, or 16 times what is added to codes.</summary>
    /// <param name="shape">The kind of weights.</param>
    /// <param name="windows">Calling convention.</param>
    public static byte[] Write(FloatRowShape shape, bool windows)
    {
        var code = new X64Assembler();
        var call = new EmittedCallCode(code, windows);
        call.Enter();
        call.Load(Loop, EmittedField.Table);
        code.Load(Table, new Mem(Loop, 0));
        code.Set(Loop, 0xFF);
        code.Broadcast(Mask, Loop);
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
        for (int i = 0; i < Columns * shape.Tiles; i++)
        {
            code.Clear(i);
        }

        int unrolled = shape.Units <= MaxUnrolled / shape.Tiles ? shape.Units : shape.Units % 2 == 0 ? 2 : 1;
        if (unrolled < shape.Units)
        {
            code.Set(Loop, shape.Units / unrolled);
        }

        int loop = code.Position;
        for (int group = 0; group < unrolled * UnitGroups; group++)
        {
            Group(code, shape, group);
        }

        code.Add(X, unrolled * UnitGroups * Columns * sizeof(float));
        code.Add(Weights, unrolled * UnitGroups * shape.Bits * VectorBytes / 8);
        if (unrolled < shape.Units)
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
    private static Mem At(FloatRowShape shape, Gpr start, int offset, int tile) => new(start, checked((int)(offset + (tile * shape.TileBytes))));

    /// <summary>How far ahead each tile is asked for.</summary>
    private static int Ahead(FloatRowShape shape) => Math.Min(Prefetching.AheadBytes, 2 * Prefetching.AheadBytes / shape.Tiles);

    /// <summary>Four columns of 16 rows of all tiles.</summary>
    private static void Group(X64Assembler code, FloatRowShape shape, int group)
    {
        int groupsOfVector = 8 / shape.Bits;
        int place = group % groupsOfVector;
        for (int tile = 0; tile < shape.Tiles && place == 0; tile++)
        {
            Mem at = At(shape, Weights, group / groupsOfVector * VectorBytes, tile);
            code.Load(Vectors + tile, at);
            code.Prefetch(at + Ahead(shape));
        }

        for (int column = 0; column < Columns; column++)
        {
            code.Broadcast(Activations, new Mem(X, ((group * Columns) + column) * sizeof(float)));
            int bit = (8 * column) + (shape.Bits * place);
            for (int tile = 0; tile < shape.Tiles; tile++)
            {
                Get(code, shape, Vectors + tile, bit);
                code.MultiplyAdd((tile * Columns) + column, Value, Activations);
            }
        }
    }

    /// <summary>Values of the codes at a bit of every lane. Above them lie bits that a table, being periodic, does not mind.</summary>
    private static void Get(X64Assembler code, FloatRowShape shape, int lanes, int bit)
    {
        int from = lanes;
        if (bit > 0)
        {
            code.ShiftRight(Value, lanes, bit);
            from = Value;
        }

        if (shape.Bits < 8)
        {
            code.PermuteSingles(Value, from, Table);
            return;
        }

        if (bit < 24)
        {
            code.And(Value, from, Mask);
        }

        code.ToSingle(Value, Value);
        code.AddSingles(Value, Value, Table);
    }

    /// <summary>total += sums x scale.</summary>
    private static void End(X64Assembler code, FloatRowShape shape, int tile)
    {
        int first = tile * Columns;
        code.AddSingles(first, first, first + 1);
        code.AddSingles(first + 2, first + 2, first + 3);
        code.AddSingles(first, first, first + 2);
        if (shape.Scale == TileScale.None)
        {
            code.AddSingles(Totals + tile, Totals + tile, first);
            return;
        }

        Mem at = At(shape, Scales, 0, tile);
        EmittedScales.Load(code, Value, at, shape.Scale);
        code.Prefetch(at + Ahead(shape));
        code.MultiplyAdd(Totals + tile, first, Value);
    }
}
