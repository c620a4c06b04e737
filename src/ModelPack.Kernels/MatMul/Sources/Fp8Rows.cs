using ModelPack.Numbers;

namespace ModelPack.Kernels.MatMul;

/// <summary>fp8 with a scale per tensor (where it is not known yet, 0), row, block or tile, see formats/numbers/Fp8/SPEC.md.</summary>
internal sealed unsafe class Fp8Rows : CodeRows
{
    private readonly int _columns;
    private readonly int _rowsPerScale;

    private Fp8Rows(int columns, int rowsPerScale)
    {
        _columns = columns;
        _rowsPerScale = rowsPerScale;
    }

    public override IReadOnlyList<string> Roles => Scale == TileScale.None ? ["codes"] : ["codes", "scales"];

    public static CodeRows? TryCreate(UnitSpec spec, int columns)
    {
        string scope = spec.Text("scope", "row");
        bool tensor = scope == "tensor";
        var plain = new UnitSpec("fp8", ("element", spec.Text("element", "e4m3fn")), ("scope", "tensor"), ("scale", "1"));
        int block = spec.Int("block", 128, 16, 4096);
        return new Fp8Rows(columns, scope == "tile" ? block : 1)
        {
            Bits = 8,
            Block = tensor || scope == "row" || block >= columns ? 0 : block,
            Table = UnscaledRows.ValuesByCode(NumberFormats.Bind(plain, new Shape(1, 256)), 8),
            Scale = tensor ? TileScale.None : TileScale.F32,
            Multiplier = tensor ? SpecNumbers.Read(spec, "scale") ?? 0 : 1,
        };
    }

    public override void Read(ReadOnlySpan<nint> streams, long row, Span<byte> codes, Span<float> scales, Span<byte> zeros)
    {
        new ReadOnlySpan<byte>((byte*)streams[0] + (row * _columns), _columns).CopyTo(codes);
        if (Scale != TileScale.None)
        {
            FloatScales.Read(streams[1], DType.F32, row / _rowsPerScale * scales.Length, scales);
        }
    }
}
