namespace ModelPack.Kernels.MatMul;

/// <summary>Rows of 16-bit floats as they are: <c>bf16</c> and <c>f16</c>.</summary>
internal sealed unsafe class WordRows : CodeRows
{
    private readonly long _rowBytes;

    private WordRows(long rowBytes)
    {
        _rowBytes = rowBytes;
    }

    /// <summary>Which floats.</summary>
    public required ValueKind Kind { get; init; }

    public override IReadOnlyList<string> Roles => ["values"];

    public static CodeRows TryCreateBFloat16(UnitSpec spec, int columns) => Of(columns, ValueKind.BFloat16);

    public static CodeRows TryCreateHalf(UnitSpec spec, int columns) => Of(columns, ValueKind.Half);

    public override void Read(ReadOnlySpan<nint> streams, long row, Span<byte> codes, Span<float> scales, Span<byte> zeros) =>
        new ReadOnlySpan<byte>((byte*)streams[0] + (row * _rowBytes), codes.Length).CopyTo(codes);

    private static WordRows Of(int columns, ValueKind kind) => new(sizeof(ushort) * (long)columns) { Kind = kind, Bits = 16, Block = 0, Scale = TileScale.None };
}
