namespace ModelPack.Kernels.MatMul;

/// <summary>Rows of plain f32, bf16 or f16.</summary>
internal sealed unsafe class PlainRows : CodeRows
{
    private readonly int _rowBytes;

    private PlainRows(int rowBytes)
    {
        _rowBytes = rowBytes;
    }

    public override IReadOnlyList<string> Roles => ["values"];

    /// <summary>Null for other formats.</summary>
    public static CodeRows? TryCreate(UnitSpec spec, int columns) => spec.ToString() switch
    {
        "f32" => Of(columns, 32),
        "bf16" => Of(columns, 16),
        "f16" => Of(columns, 16, ValueKind.Half),
        _ => null,
    };

    public override void Read(ReadOnlySpan<nint> streams, long row, Span<byte> codes, Span<float> scales, Span<byte> zeros) =>
        new ReadOnlySpan<byte>((byte*)streams[0] + (row * _rowBytes), _rowBytes).CopyTo(codes);

    private static PlainRows Of(int columns, int bits, ValueKind words = ValueKind.Plain) =>
        new(checked(columns * (bits / 8))) { Bits = bits, Words = words, Block = 0, Scale = TileScale.None };
}
