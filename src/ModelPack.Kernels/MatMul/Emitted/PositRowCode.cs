using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// Machine code for one row of f32 activations times some tiles of 16-bit posits, as <see cref="FloatMatVec{TSimd, TCodes, TValues}"/> with <see cref="Posit1Values"/> or <see cref="Posit2Values"/> and the same bits. How they are decoded:
/// <see cref="PositPairs"/>.
/// </summary>
internal sealed class PositRowCode : FourSumsRowCode
{
    private const int UnitGroups = 4;

    /// <summary>Columns of a group, each with a sum of its own.</summary>
    private const int Columns = Sums;

    private const int ColumnsOfVector = 2;
    private const int Vector = Free;
    private const int Activations = Vector + 1;
    private const int MoreActivations = Vector + 2;
    private const int Value = Vector + 3;
    private const int Sign = Vector + 4;

    /// <summary>What exponents of values from 1 upwards are subtracted from.</summary>
    private const int Mirror = Vector + 5;

    private const int Magnitudes = Vector + 6;
    private const int Signs = Vector + 7;

    /// <summary>Bits of c ? b : a.</summary>
    private const byte Select = 0b1101_1000;

    private readonly int _exponentBits;

    private PositRowCode(FloatRowShape shape, int exponentBits, bool windows)
        : base(shape.Tiles, shape.TileBytes, shape.Scale, windows)
    {
        _exponentBits = exponentBits;
    }

    /// <summary>Writes the function, with f32 activations; it takes no table.</summary>
    /// <param name="shape">The kind of weights.</param>
    /// <param name="windows">Calling convention.</param>
    public static byte[] Write(FloatRowShape shape, bool windows) =>
        new PositRowCode(shape, shape.Kind == ValueKind.Posit1 ? 1 : 2, windows).Write(shape.Units, shape.Units <= 2 ? shape.Units : 1, UnitGroups * Columns * sizeof(float), UnitGroups * Columns / ColumnsOfVector * VectorBytes);

    protected override void Constants()
    {
        foreach ((int to, int value) in new[] { (Mirror, PositPairs.Mirror(_exponentBits)), (Magnitudes, PositPairs.Magnitudes), (Signs, int.MinValue) })
        {
            Code.Set(Loop, value);
            Code.Broadcast(to, Loop);
        }
    }

    /// <summary>A unit.</summary>
    protected override void Step(int step)
    {
        const int vectors = UnitGroups * Columns / ColumnsOfVector;
        for (int vector = step * vectors; vector < (step + 1) * vectors; vector++)
        {
            int at = vector * ColumnsOfVector * sizeof(float);
            Code.Broadcast(Activations, new Mem(X, at));
            Code.Broadcast(MoreActivations, new Mem(X, at + sizeof(float)));
            for (int tile = 0; tile < Tiles; tile++)
            {
                Mem codes = At(Weights, vector * VectorBytes, tile);
                Code.Load(Vector, codes);
                Prefetch(codes);
                int sum = (tile * Sums) + (vector * ColumnsOfVector % Columns);
                Code.ShiftLeft(Value, Vector, 17);
                Code.ShiftLeft(Sign, Vector, 16);
                Add(sum, Sign, Activations);
                Code.ShiftLeft(Value, Vector, 1);
                Code.And(Value, Value, Magnitudes);
                Add(sum + 1, Vector, MoreActivations);
            }
        }
    }

    protected override void End(int tile)
    {
        JoinColumns(tile);
        LoadScales(Value, tile);
        Code.MultiplyAdd(Total(tile), tile * Sums, Value);
    }

    /// <summary>Adds the values of magnitudes in <see cref="Value"/>, with the highest bits of <paramref name="signs"/>, times activations.</summary>
    private void Add(int sum, int signs, int activations)
    {
        Code.MaskOfSigns(Value);
        Code.ToSingle(Value, Value);
        Code.ShiftLeft(Value, Value, _exponentBits);
        Code.SubtractMasked(Value, Mirror, Value);
        Code.Ternary(Value, signs, Signs, Select);
        Code.MultiplyAdd(sum, Value, activations);
    }
}
