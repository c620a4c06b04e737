using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>A kind of weights that <see cref="IntegerRowCode"/> is written for.</summary>
/// <param name="Bits">Width of a code, 2 to 8.</param>
/// <param name="Groups">Groups of four columns of a block: a multiple of those of a unit.</param>
/// <param name="HasTable">Whether codes stand for bytes of a table.</param>
/// <param name="Scale">Stored type of scales.</param>
/// <param name="HasZeros">Whether blocks have zero points of their own.</param>
/// <param name="Tiles">Tiles that are done together: at most <see cref="IntegerRowRegisters.MostTiles"/>.</param>
/// <param name="TileBytes">From one of them to the next.</param>
internal readonly record struct IntegerRowShape(int Bits, int Groups, bool HasTable, TileScale Scale, bool HasZeros, int Tiles, long TileBytes);

/// <summary>
/// Machine code for one row of activations times some tiles, as <see cref="IntegerMatVec{TSimd, TCodes, TMap, TDot}"/> with the same bits: codes are unpacked in registers, blocks follow each other without a call.
/// </summary>
/// <remarks>
/// Codes that are their own integers are not moved to the lower end of a byte: bits j to j + w - 1 are masked, multiplied where they are, and summed apart from other places; the sum, a multiple of 2^j, is shifted when the block
/// ends. That is two instructions for four columns of 16 rows, whichever the width of the plane.
/// </remarks>
internal sealed class IntegerRowCode : RowCode
{
    /// <summary>Units that are written out, over all tiles.</summary>
    private const int MaxUnrolledUnits = 8;

    private readonly IntegerRowShape _shape;
    private readonly bool _hasPermute;
    private readonly IntegerRowRegisters _registers;

    private IntegerRowCode(IntegerRowShape shape, bool windows, bool hasPermute)
        : base(shape.Tiles, shape.TileBytes, shape.Scale, windows)
    {
        _shape = shape;
        _hasPermute = hasPermute;
        _registers = new IntegerRowRegisters(shape);
    }

    private int Units => _shape.Groups / _registers.UnitGroups;

    private int UnitBytes => _registers.UnitGroups * _shape.Bits * VectorBytes / 8;

    /// <summary>Whether there is code for a kind of weights.</summary>
    public static bool Has(IntegerRowShape shape) => shape.Bits is >= 2 and <= 8 && (!shape.HasTable || shape.Bits is 2 or 4);

    /// <summary>Writes the function.</summary>
    /// <param name="shape">The kind of weights.</param>
    /// <param name="windows">Calling convention.</param>
    /// <param name="hasPermute">Whether the machine has AVX512_VBMI.</param>
    public static byte[] Write(IntegerRowShape shape, bool windows, bool hasPermute)
    {
        var code = new IntegerRowCode(shape, windows, hasPermute);
        int units = code.Units;
        int unrolled = units <= MaxUnrolledUnits / shape.Tiles ? units : units % 4 == 0 && shape.Tiles == 1 ? 4 : units % 2 == 0 ? 2 : 1;
        return code.Write(units, unrolled, code._registers.UnitGroups * sizeof(int), code.UnitBytes);
    }

    protected override int Total(int tile) => _registers.Total(tile);

    /// <summary>Masks, or the table.</summary>
    protected override void Constants()
    {
        if (_shape.HasTable)
        {
            Code.Load(_registers.Table, new Mem(Loop, 0));
            Repeat(_registers.Nibbles, 0x0F);
            return;
        }

        foreach (IntegerRowRegisters.Plane plane in _registers.Planes.Where(p => p.Width < 8))
        {
            for (int place = 0; place < plane.Places; place++)
            {
                Repeat(plane.Masks[place], ((1 << plane.Width) - 1) << (plane.Width * place));
            }
        }
    }

    private void Repeat(int register, int value)
    {
        Code.Set(Loop, unchecked(value * 0x01010101));
        Code.Broadcast(register, Loop);
    }

    /// <summary>Scale of the activations, and sums.</summary>
    protected override void Begin()
    {
        Code.Broadcast(IntegerRowRegisters.Factor, new Mem(X, 0));
        int[] firsts = [.. Enumerable.Range(0, Tiles).Select(t => _registers.Sum(_registers.Planes[0], 0, t))];
        foreach (int sum in _registers.Planes.SelectMany(p => p.Sums).SelectMany(s => Enumerable.Range(s, _registers.Sets * Tiles)).Except(firsts))
        {
            Code.Clear(sum);
        }

        for (int tile = 0; tile < Tiles; tile++)
        {
            int first = firsts[tile];
            if (_shape.HasZeros)
            {
                Code.WidenBytes(_registers.Vector(tile), At(Zeros, 0, tile));
                Code.MultiplyIntegers(first, _registers.Vector(tile), new Mem(X, sizeof(float)));
            }
            else
            {
                Code.Broadcast(first, new Mem(X, sizeof(float)));
            }
        }

        if (_shape.HasZeros)
        {
            Code.Add(Zeros, TileLayout.TileRows);
        }

        Code.Add(X, PackedActivations.HeaderBytes(1));
    }

    /// <summary>A unit.</summary>
    protected override void Step(int step)
    {
        foreach (IntegerRowRegisters.Plane plane in _registers.Planes)
        {
            int perVector = 8 / plane.Width;
            for (int group = 0; group < _registers.UnitGroups; group++)
            {
                int place = group % perVector;
                for (int tile = 0; tile < Tiles && place == 0; tile++)
                {
                    Mem at = At(Weights, (step * UnitBytes) + ((plane.FirstVector + (group / perVector)) * VectorBytes), tile);
                    Code.Load(_registers.Vector(tile), at);
                    Prefetch(at);
                }

                var activations = new Mem(X, ((step * _registers.UnitGroups) + group) * sizeof(int));
                if (Tiles > 1)
                {
                    Code.Broadcast(IntegerRowRegisters.Activations, activations);
                }

                int set = plane.Places == 1 ? group % _registers.Sets : step % _registers.Sets;
                for (int tile = 0; tile < Tiles; tile++)
                {
                    Multiply(plane, place, tile, set, activations);
                }
            }
        }
    }

    /// <summary>Adds the products of one group of a tile.</summary>
    private void Multiply(IntegerRowRegisters.Plane plane, int place, int tile, int set, Mem activations)
    {
        int codes = IntegerRowRegisters.Codes;
        int vector = _registers.Vector(tile);
        if (_shape.HasTable)
        {
            Look(vector, place * plane.Width);
        }
        else if (plane.Width == 8)
        {
            codes = vector;
        }
        else
        {
            Code.And(IntegerRowRegisters.Codes, vector, plane.Masks[place]);
        }

        int sum = _registers.Sum(plane, _shape.HasTable ? 0 : place, tile) + set;
        if (Tiles == 1)
        {
            Code.DotBytes(sum, codes, activations);
            return;
        }

        Code.DotBytes(sum, codes, IntegerRowRegisters.Activations);
    }

    /// <summary>Codes = table[bits of the vector]; the table is periodic, so that bits above a code do not matter where six bits choose.</summary>
    private void Look(int vector, int bit)
    {
        int from = vector;
        if (bit > 0)
        {
            Code.ShiftRight(IntegerRowRegisters.Codes, vector, bit);
            from = IntegerRowRegisters.Codes;
        }

        if (_hasPermute)
        {
            Code.PermuteBytes(IntegerRowRegisters.Codes, from, _registers.Table);
            return;
        }

        Code.And(IntegerRowRegisters.Codes, from, _registers.Nibbles);
        Code.ShuffleBytes(IntegerRowRegisters.Codes, _registers.Table, IntegerRowRegisters.Codes);
    }

    /// <summary>total += sums x scale x factor.</summary>
    protected override void End(int tile)
    {
        int result = _registers.Sum(_registers.Planes[0], 0, tile);
        foreach (IntegerRowRegisters.Plane plane in _registers.Planes)
        {
            for (int place = 0; place < plane.Places; place++)
            {
                int sum = _registers.Sum(plane, place, tile);
                for (int set = 1; set < _registers.Sets; set++)
                {
                    Code.AddIntegers(sum, sum, sum + set);
                }

                int shift = plane.Position - (_shape.HasTable ? 0 : plane.Width * place);
                if (shift > 0)
                {
                    Code.ShiftLeft(sum, sum, shift);
                }
                else if (shift < 0)
                {
                    Code.ShiftRightSigned(sum, sum, -shift);
                }

                if (sum != result)
                {
                    Code.AddIntegers(result, result, sum);
                }
            }
        }

        int factor = IntegerRowRegisters.Factor;
        if (HasScales)
        {
            factor = _registers.Vector(tile);
            LoadScales(factor, tile);
            Code.Multiply(factor, factor, IntegerRowRegisters.Factor);
        }

        Code.ToSingle(result, result);
        Code.MultiplyAdd(_registers.Total(tile), result, factor);
    }
}
