using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>A kind of weights that <see cref="IntegerRowCode"/> is written for.</summary>
/// <param name="Bits">Width of a code, 2 to 8.</param>
/// <param name="Groups">Groups of four columns of a block: a multiple of those of a unit.</param>
/// <param name="HasTable">Whether codes stand for bytes of a table.</param>
/// <param name="Scale">Stored type of scales.</param>
/// <param name="HasZeros">Whether blocks have zero points of their own.</param>
internal readonly record struct IntegerRowShape(int Bits, int Groups, bool HasTable, TileScale Scale, bool HasZeros);

/// <summary>
/// Machine code for one row of activations times one tile, as <see cref="IntegerMatVec{TSimd, TCodes, TMap, TDot}"/> with the same bits: codes are unpacked in registers, blocks follow each other without a call.
/// </summary>
/// <remarks>
/// Codes that are their own integers are not moved to the lower end of a byte: bits j to j + w - 1 are masked, multiplied where they are, and summed apart from other places; the sum, a multiple of 2^j, is shifted when the block
/// ends. That is two instructions for four columns of 16 rows, whichever the width of the plane.
/// </remarks>
internal sealed class IntegerRowCode
{
    /// <summary>Units that are written out; more of them run in a loop.</summary>
    private const int MaxUnrolledUnits = 8;

    private const int VectorBytes = TilePlanes.VectorBytes;

    private const int Total = 31;

    private const int Factor = 30;

    private const int Vector = 29;

    private const int Codes = 28;

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
    private readonly List<Plane> _planes = [];
    private readonly int _unitGroups;
    private readonly int _sets;
    private int _registers;
    private int _table;
    private int _nibbles;

    private IntegerRowCode(IntegerRowShape shape, bool windows, bool hasPermute)
    {
        _shape = shape;
        _hasPermute = hasPermute;
        _call = new EmittedCallCode(_code, windows);
        _unitGroups = (shape.Bits & 1) != 0 ? 8 : 4;
        int places = 0;
        for (int width = 8, position = 0, vector = 0; width >= 1; width /= 2)
        {
            if ((shape.Bits & width) != 0)
            {
                _planes.Add(new Plane(width, position, vector, shape.HasTable ? 1 : 8 / width));
                places += _planes[^1].Places;
                position += width;
                vector += _unitGroups * width / 8;
            }
        }

        // More sums than places, so that no addition waits for the one before, as far as registers and units go.
        _sets = places == 1 ? 4 : places <= 4 ? 2 : 1;
    }

    private int Units => _shape.Groups / _unitGroups;

    private int UnitBytes => _unitGroups * _shape.Bits * VectorBytes / 8;

    /// <summary>Whether there is code for a kind of weights.</summary>
    public static bool Has(IntegerRowShape shape) => shape.Bits is >= 2 and <= 8 && (!shape.HasTable || shape.Bits is 2 or 4);

    /// <summary>Writes the function void f(<see cref="EmittedCall"/>*) with <see cref="EmittedCall.Y"/> [16].</summary>
    /// <param name="shape">The kind of weights.</param>
    /// <param name="windows">Calling convention.</param>
    /// <param name="hasPermute">Whether the machine has AVX512_VBMI.</param>
    public static byte[] Write(IntegerRowShape shape, bool windows, bool hasPermute) => new IntegerRowCode(shape, windows, hasPermute).Write();

    private byte[] Write()
    {
        _call.Enter();
        Constants();
        _call.Load(Loop, EmittedField.Y);
        _code.Load(Total, new Mem(Loop, 0));
        _call.Load(Blocks, EmittedField.Blocks);
        _call.Load(X, EmittedField.X);
        _call.Load(Weights, EmittedField.Weights);
        _call.Load(Scales, EmittedField.Scales);
        _call.Load(Zeros, EmittedField.Zeros);
        int block = _code.Position;
        Begin();
        int unrolled = Units <= MaxUnrolledUnits ? Units : Units % 4 == 0 ? 4 : Units % 2 == 0 ? 2 : 1;
        if (unrolled < Units)
        {
            _code.Set(Loop, Units / unrolled);
        }

        int loop = _code.Position;
        for (int unit = 0; unit < unrolled; unit++)
        {
            Unit(unit);
        }

        _code.Add(X, unrolled * _unitGroups * sizeof(int));
        _code.Add(Weights, unrolled * UnitBytes);
        if (unrolled < Units)
        {
            _code.Loop(Loop, loop);
        }

        End();
        _code.Loop(Blocks, block);
        _call.Load(Loop, EmittedField.Y);
        _code.Store(new Mem(Loop, 0), Total);
        _call.Leave();
        return _code.Code.ToArray();
    }

    /// <summary>Masks, the table, and places for sums.</summary>
    private void Constants()
    {
        foreach (Plane plane in _planes)
        {
            for (int place = 0; place < plane.Places; place++)
            {
                plane.Sums[place] = _registers;
                _registers += _sets;
            }
        }

        if (_shape.HasTable)
        {
            _table = _registers++;
            _call.Load(Loop, EmittedField.Table);
            _code.Load(_table, new Mem(Loop, 0));
            _nibbles = _registers++;
            Repeat(_nibbles, 0x0F);
            return;
        }

        foreach (Plane plane in _planes.Where(p => p.Width < 8))
        {
            for (int place = 0; place < plane.Places; place++)
            {
                plane.Masks[place] = _registers++;
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
        _code.Broadcast(Factor, new Mem(X, 0));
        int first = _planes[0].Sums[0];
        if (_shape.HasZeros)
        {
            _code.WidenBytes(Vector, new Mem(Zeros, 0));
            _code.MultiplyIntegers(first, Vector, new Mem(X, sizeof(float)));
            _code.Add(Zeros, TileLayout.TileRows);
        }
        else
        {
            _code.Broadcast(first, new Mem(X, sizeof(float)));
        }

        foreach (int sum in _planes.SelectMany(p => p.Sums.SelectMany(s => Enumerable.Range(s, _sets))).Where(s => s != first))
        {
            _code.Clear(sum);
        }

        _code.Add(X, PackedActivations.HeaderBytes(1));
    }

    private void Unit(int unit)
    {
        foreach (Plane plane in _planes)
        {
            int perVector = 8 / plane.Width;
            for (int group = 0; group < _unitGroups; group++)
            {
                int place = group % perVector;
                if (place == 0)
                {
                    var at = new Mem(Weights, (unit * UnitBytes) + ((plane.FirstVector + (group / perVector)) * VectorBytes));
                    _code.Load(Vector, at);
                    _code.Prefetch(at + Prefetching.AheadBytes);
                }

                int set = plane.Places == 1 ? group % _sets : unit % _sets;
                var activations = new Mem(X, ((unit * _unitGroups) + group) * sizeof(int));
                if (_shape.HasTable)
                {
                    Look(place * plane.Width);
                    _code.DotBytes(plane.Sums[0] + set, Codes, activations);
                }
                else if (plane.Width == 8)
                {
                    _code.DotBytes(plane.Sums[0] + set, Vector, activations);
                }
                else
                {
                    _code.And(Codes, Vector, plane.Masks[place]);
                    _code.DotBytes(plane.Sums[place] + set, Codes, activations);
                }
            }
        }
    }

    /// <summary>Codes = table[bits of the vector]; the table is periodic, so that bits above a code do not matter where six bits choose.</summary>
    private void Look(int bit)
    {
        int from = Vector;
        if (bit > 0)
        {
            _code.ShiftRight(Codes, Vector, bit);
            from = Codes;
        }

        if (_hasPermute)
        {
            _code.PermuteBytes(Codes, from, _table);
            return;
        }

        _code.And(Codes, from, _nibbles);
        _code.ShuffleBytes(Codes, _table, Codes);
    }

    /// <summary>total += sums x scale x factor.</summary>
    private void End()
    {
        int result = _planes[0].Sums[0];
        foreach (Plane plane in _planes)
        {
            for (int place = 0; place < plane.Places; place++)
            {
                int sum = plane.Sums[place];
                for (int set = 1; set < _sets; set++)
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

        if (_shape.Scale != TileScale.None)
        {
            var at = new Mem(Scales, 0);
            EmittedScales.Load(_code, Vector, at, _shape.Scale);

            // Behind the scales of a tile come its codes: by the time they are due their first lines have been asked for, as those of the next tile by its codes.
            _code.Prefetch(at + Prefetching.AheadBytes);
            _code.Multiply(Factor, Vector, Factor);
            _code.Add(Scales, TileLayout.TileRows * _shape.Scale.Bytes());
        }

        _code.ToSingle(result, result);
        _code.MultiplyAdd(Total, result, Factor);
    }

    /// <summary>Bits of codes that lie together.</summary>
    /// <param name="Width">Bits per byte place.</param>
    /// <param name="Position">Of the first of them in the code.</param>
    /// <param name="FirstVector">In a unit.</param>
    /// <param name="Places">Places in a byte with sums of their own.</param>
    private sealed record Plane(int Width, int Position, int FirstVector, int Places)
    {
        public int[] Sums { get; } = new int[Places];

        public int[] Masks { get; } = new int[Places];
    }
}
