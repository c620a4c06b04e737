namespace ModelPack.Kernels.MatMul;

/// <summary>int2 to int8 with integer zero points or none, see formats/numbers/IntBlock/SPEC.md.</summary>
internal sealed unsafe class IntegerRows : CodeRows
{
    private readonly int _columns;
    private readonly int _block;
    private readonly DType _scale;

    private IntegerRows(int columns, int block, DType scale)
    {
        _columns = columns;
        _block = block;
        _scale = scale;
    }

    public override IReadOnlyList<string> Roles => HasZeros ? ["codes", "scales", "zero-points"] : ["codes", "scales"];

    public static CodeRows? TryCreate(UnitSpec spec, int columns)
    {
        if (spec.Text("zeros", "int") != "int" || spec.Text("layout", "packed") != "packed")
        {
            return null;
        }

        int bits = spec.Id[3] - '0';
        bool row = spec.Text("block", "32") is "row" or "0";
        int block = row ? Math.Max(1, columns) : spec.Int("block", 32, 16, 65536);
        DType scale = spec.Text("scale", "f32") switch
        {
            "f16" => DType.F16,
            "bf16" => DType.BF16,
            _ => DType.F32,
        };
        return new IntegerRows(columns, block, scale)
        {
            Bits = bits,
            Block = row ? 0 : block,
            Zero = 1 << (bits - 1),
            HasZeros = !spec.Flag("symmetric", true),
            Scale = scale == DType.BF16 ? TileScale.BF16 : scale == DType.F16 ? TileScale.F16 : TileScale.F32,
        };
    }

    public override void Read(ReadOnlySpan<nint> streams, long row, Span<byte> codes, Span<float> scales, Span<byte> zeros)
    {
        int blobBytes = ((_block * Bits) + 7) / 8;
        byte* blob = (byte*)streams[0] + (row * scales.Length * blobBytes);
        for (int first = 0; first < _columns; first += _block)
        {
            PackedBits.Unpack(blob, Bits, codes.Slice(first, Math.Min(_block, _columns - first)));
            blob += blobBytes;
        }

        FloatScales.Read(streams[1], _scale, row * scales.Length, scales);
        if (HasZeros)
        {
            PackedBits.Unpack((byte*)streams[2] + (row * (((scales.Length * Bits) + 7) / 8)), Bits, zeros);
        }
    }
}
