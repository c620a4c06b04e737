using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>A kind of weights that code for one row of f32 is written for.</summary>
/// <param name="Kind">How codes become values.</param>
/// <param name="Bits">Width of a code: 2 or 4 of <see cref="ValueKind.Table16"/>, 8 of <see cref="ValueKind.Linear"/>, 16 of others.</param>
/// <param name="Units">Units of 16 columns of a block.</param>
/// <param name="Scale">Stored type of scales.</param>
/// <param name="Tiles">Tiles that are done together, 1 to <see cref="RowCode.MaxTiles"/>.</param>
/// <param name="TileBytes">From one of them to the next.</param>
internal readonly record struct FloatRowShape(ValueKind Kind, int Bits, int Units, TileScale Scale, int Tiles, long TileBytes);

/// <summary>
/// Machine code for one row of f32 activations times some tiles, as <see cref="FloatMatVec{TSimd, TCodes, TValues}"/> with <see cref="Table16Values"/> or <see cref="LinearValues"/> and the same bits. The table, or zero point, stays in a
/// register.
/// </summary>
internal sealed class FloatRowCode : FourSumsRowCode
{
    private const int UnitGroups = 4;

    /// <summary>Columns of a group, each with a sum of its own.</summary>
    private const int Columns = Sums;

    /// <summary>Units that are written out, over all tiles.</summary>
    private const int MaxUnrolled = 8;

    private const int Vectors = Free;
    private const int Table = Vectors + MaxTiles;
    private const int Activations = Table + 1;
    private const int Value = Table + 2;
    private const int Mask = Table + 3;

    private readonly int _bits;

    private FloatRowCode(FloatRowShape shape, bool windows)
        : base(shape.Tiles, shape.TileBytes, shape.Scale, windows)
    {
        _bits = shape.Bits;
    }

    /// <summary>Writes the function, with f32 activations and a table of 16 f32: values by code, or 16 times what is added to codes.</summary>
    /// <param name="shape">The kind of weights.</param>
    /// <param name="windows">Calling convention.</param>
    public static byte[] Write(FloatRowShape shape, bool windows)
    {
        int unrolled = shape.Units <= MaxUnrolled / shape.Tiles ? shape.Units : shape.Units % 2 == 0 ? 2 : 1;
        return new FloatRowCode(shape, windows).Write(shape.Units, unrolled, UnitGroups * Columns * sizeof(float), UnitGroups * shape.Bits * VectorBytes / 8);
    }

    protected override void Constants()
    {
        Code.Load(Table, new Mem(Loop, 0));
        Code.Set(Loop, 0xFF);
        Code.Broadcast(Mask, Loop);
    }

    /// <summary>A unit.</summary>
    protected override void Step(int step)
    {
        for (int group = step * UnitGroups; group < (step + 1) * UnitGroups; group++)
        {
            Group(group);
        }
    }

    protected override void End(int tile)
    {
        int first = tile * Sums;
        JoinColumns(tile);
        if (!HasScales)
        {
            Code.AddSingles(Total(tile), Total(tile), first);
            return;
        }

        LoadScales(Value, tile);
        Code.MultiplyAdd(Total(tile), first, Value);
    }

    /// <summary>Four columns of 16 rows of all tiles.</summary>
    private void Group(int group)
    {
        int groupsOfVector = 8 / _bits;
        int place = group % groupsOfVector;
        for (int tile = 0; tile < Tiles && place == 0; tile++)
        {
            Mem at = At(Weights, group / groupsOfVector * VectorBytes, tile);
            Code.Load(Vectors + tile, at);
            Prefetch(at);
        }

        for (int column = 0; column < Columns; column++)
        {
            Code.Broadcast(Activations, new Mem(X, ((group * Columns) + column) * sizeof(float)));
            for (int tile = 0; tile < Tiles; tile++)
            {
                Get(Vectors + tile, (8 * column) + (_bits * place));
                Code.MultiplyAdd((tile * Sums) + column, Value, Activations);
            }
        }
    }

    /// <summary>Values of the codes at a bit of every lane. Above them lie bits that a table, being periodic, does not mind.</summary>
    private void Get(int lanes, int bit)
    {
        int from = lanes;
        if (bit > 0)
        {
            Code.ShiftRight(Value, lanes, bit);
            from = Value;
        }

        if (_bits < 8)
        {
            Code.PermuteSingles(Value, from, Table);
            return;
        }

        if (bit < 24)
        {
            Code.And(Value, from, Mask);
        }

        Code.ToSingle(Value, Value);
        Code.AddSingles(Value, Value, Table);
    }
}
