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
/// <para>
/// Four tiles together are four streams from memory, and activations are loaded once for them: two cores then read weights of four bits at 0.95 of what reading alone takes or faster, with one tile at 0.60 to 0.78 (32768 x 4096 and
/// 131072 x 4096, 2 virtual cores of an AMD EPYC, family 26 model 2, 2026-11-30). Each stream is asked for 2 KiB ahead: with 4 KiB it is 0.87 to 0.91, without asking 0.88 to 1.02. Eight streams are slower again.
/// </para>
/// </remarks>
internal sealed class IntegerRowCode
{
    /// <summary>Units that are written out; more of them run in a loop.</summary>
    private const int MaxUnrolledUnits = 8;

    private const int VectorBytes = TilePlanes.VectorBytes;

    private const Gpr Blocks = Gpr.Rax;

    private const Gpr X = Gpr.Rdx;

    private const Gpr Weights = Gpr.R8;

    private const Gpr Loop = Gpr.R9;

    private const Gpr Scales = Gpr.R10;

    private const Gpr Zeros = Gpr.R11;

    private readonly X64Assembler _code = new();
    private readonly EmittedCallCode _call;
    private readonly IntegerRowShape _shape;
    private readonly bool _hasPermute;
    private readonly IntegerRowRegisters _registers;
    private readonly int _ahead;

    private IntegerRowCode(IntegerRowShape shape, bool windows, bool hasPermute)
    {
        _shape = shape;
        _hasPermute = hasPermute;
        _call = new EmittedCallCode(_code, windows);
        _registers = new IntegerRowRegisters(shape);
        _ahead = Math.Min(Prefetching.AheadBytes, 2 * Prefetching.AheadBytes / Tiles);
    }

    private int Tiles => _shape.Tiles;

    private int Units => _shape.Groups / _registers.UnitGroups;

    private int UnitBytes => _registers.UnitGroups * _shape.Bits * VectorBytes / 8;

    /// <summary>Whether there is code for a kind of weights.</summary>
    public static bool Has(IntegerRowShape shape) => shape.Bits is >= 2 and <= 8 && (!shape.HasTable || shape.Bits is 2 or 4);

    /// <summary>Writes the function void f(<see cref="EmittedCall"/>*) with <see cref="EmittedCall.Y"/> [tiles, 16].</summary>
    /// <param name="shape">The kind of weights.</param>
    /// <param name="windows">Calling convention.</param>
    /// <param name="hasPermute">Whether the machine has AVX512_VBMI.</param>
    public static byte[] Write(IntegerRowShape shape, bool windows, bool hasPermute) => new IntegerRowCode(shape, windows, hasPermute).Write();

    private byte[] Write()
    {
        _call.Enter();
        Constants();
        _call.Load(Loop, EmittedField.Y);
        for (int tile = 0; tile < Tiles; tile++)
        {
            _code.Load(_registers.Total(tile), new Mem(Loop, tile * VectorBytes));
        }

        _call.Load(Blocks, EmittedField.Blocks);
        _call.Load(X, EmittedField.X);
        _call.Load(Weights, EmittedField.Weights);
        _call.Load(Scales, EmittedField.Scales);
        _call.Load(Zeros, EmittedField.Zeros);
        int block = _code.Position;
        Begin();
        int unrolled = Units <= MaxUnrolledUnits / Tiles ? Units : Units % 4 == 0 && Tiles == 1 ? 4 : Units % 2 == 0 ? 2 : 1;
        if (unrolled < Units)
        {
            _code.Set(Loop, Units / unrolled);
        }

        int loop = _code.Position;
        for (int unit = 0; unit < unrolled; unit++)
        {
            Unit(unit);
        }

        _code.Add(X, unrolled * _registers.UnitGroups * sizeof(int));
        _code.Add(Weights, unrolled * UnitBytes);
        if (unrolled < Units)
        {
            _code.Loop(Loop, loop);
        }

        for (int tile = 0; tile < Tiles; tile++)
        {
            End(tile);
        }

        if (_shape.Scale != TileScale.None)
        {
            _code.Add(Scales, TileLayout.TileRows * _shape.Scale.Bytes());
        }

        _code.Loop(Blocks, block);
        _call.Load(Loop, EmittedField.Y);
        for (int tile = 0; tile < Tiles; tile++)
        {
            _code.Store(new Mem(Loop, tile * VectorBytes), _registers.Total(tile));
        }

        _call.Leave();
        return _code.Code.ToArray();
    }

    /// <summary>Masks, or the table.</summary>
    private void Constants()
    {
        if (_shape.HasTable)
        {
            _call.Load(Loop, EmittedField.Table);
            _code.Load(_registers.Table, new Mem(Loop, 0));
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
        _code.Set(Loop, unchecked(value * 0x01010101));
        _code.Broadcast(register, Loop);
    }

    /// <summary>Scale of the activations, and sums.</summary>
    private void Begin()
    {
        _code.Broadcast(IntegerRowRegisters.Factor, new Mem(X, 0));
        int[] firsts = [.. Enumerable.Range(0, Tiles).Select(t => _registers.Sum(_registers.Planes[0], 0, t))];
        foreach (int sum in _registers.Planes.SelectMany(p => p.Sums).SelectMany(s => Enumerable.Range(s, _registers.Sets * Tiles)).Except(firsts))
        {
            _code.Clear(sum);
        }

        for (int tile = 0; tile < Tiles; tile++)
        {
            int first = firsts[tile];
            if (_shape.HasZeros)
            {
                _code.WidenBytes(_registers.Vector(tile), At(Zeros, 0, tile));
                _code.MultiplyIntegers(first, _registers.Vector(tile), new Mem(X, sizeof(float)));
            }
            else
            {
                _code.Broadcast(first, new Mem(X, sizeof(float)));
            }
        }

        if (_shape.HasZeros)
        {
            _code.Add(Zeros, TileLayout.TileRows);
        }

        _code.Add(X, PackedActivations.HeaderBytes(1));
    }

    /// <summary>A place in a tile.</summary>
    private Mem At(Gpr start, int offset, int tile) => new(start, checked((int)(offset + (tile * _shape.TileBytes))));

    private void Unit(int unit)
    {
        foreach (IntegerRowRegisters.Plane plane in _registers.Planes)
        {
            int perVector = 8 / plane.Width;
            for (int group = 0; group < _registers.UnitGroups; group++)
            {
                int place = group % perVector;
                for (int tile = 0; tile < Tiles && place == 0; tile++)
                {
                    Mem at = At(Weights, (unit * UnitBytes) + ((plane.FirstVector + (group / perVector)) * VectorBytes), tile);
                    _code.Load(_registers.Vector(tile), at);
                    _code.Prefetch(at + _ahead);
                }

                var activations = new Mem(X, ((unit * _registers.UnitGroups) + group) * sizeof(int));
                if (Tiles > 1)
                {
                    _code.Broadcast(IntegerRowRegisters.Activations, activations);
                }

                int set = plane.Places == 1 ? group % _registers.Sets : unit % _registers.Sets;
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
            _code.And(IntegerRowRegisters.Codes, vector, plane.Masks[place]);
        }

        int sum = _registers.Sum(plane, _shape.HasTable ? 0 : place, tile) + set;
        if (Tiles == 1)
        {
            _code.DotBytes(sum, codes, activations);
            return;
        }

        _code.DotBytes(sum, codes, IntegerRowRegisters.Activations);
    }

    /// <summary>Codes = table[bits of the vector]; the table is periodic, so that bits above a code do not matter where six bits choose.</summary>
    private void Look(int vector, int bit)
    {
        int from = vector;
        if (bit > 0)
        {
            _code.ShiftRight(IntegerRowRegisters.Codes, vector, bit);
            from = IntegerRowRegisters.Codes;
        }

        if (_hasPermute)
        {
            _code.PermuteBytes(IntegerRowRegisters.Codes, from, _registers.Table);
            return;
        }

        _code.And(IntegerRowRegisters.Codes, from, _registers.Nibbles);
        _code.ShuffleBytes(IntegerRowRegisters.Codes, _registers.Table, IntegerRowRegisters.Codes);
    }

    /// <summary>total += sums x scale x factor.</summary>
    private void End(int tile)
    {
        int result = _registers.Sum(_registers.Planes[0], 0, tile);
        foreach (IntegerRowRegisters.Plane plane in _registers.Planes)
        {
            for (int place = 0; place < plane.Places; place++)
            {
                int sum = _registers.Sum(plane, place, tile);
                for (int set = 1; set < _registers.Sets; set++)
                {
                    _code.AddIntegers(sum, sum, sum + set);
                }

                int shift = plane.Position - (_shape.HasTable ? 0 : plane.Width * place);
                if (shift > 0)
                {
                    _code.ShiftLeft(sum, sum, shift);
                }
                else if (shift < 0)
                {
                    _code.ShiftRightSigned(sum, sum, -shift);
                }

                if (sum != result)
                {
                    _code.AddIntegers(result, result, sum);
                }
            }
        }

        int factor = IntegerRowRegisters.Factor;
        if (_shape.Scale != TileScale.None)
        {
            factor = _registers.Vector(tile);
            Mem at = At(Scales, 0, tile);
            EmittedScales.Load(_code, factor, at, _shape.Scale);

            // Behind the scales of a tile come its codes: by the time they are due their first lines have been asked for, as those of the next tile by its codes.
            _code.Prefetch(at + _ahead);
            _code.Multiply(factor, factor, IntegerRowRegisters.Factor);
        }

        _code.ToSingle(result, result);
        _code.MultiplyAdd(_registers.Total(tile), result, factor);
    }
}
