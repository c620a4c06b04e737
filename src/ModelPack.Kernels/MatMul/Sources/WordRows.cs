namespace ModelPack.Kernels.MatMul;

/// <summary>Rows of 16-bit floats as they are: <c>bf16</c> and <c>f16</c>.</summary>
internal sealed unsafe class WordRows : CodeRows
{
    private readonly long _rowBytes;

    private WordRows(long rowBytes)
    {
        _rowBytes = rowBytes;
    }

    /// <summary>f16, not bf16.</summary>
    public required bool IsHalf { get; init; }

    public override IReadOnlyList<string> Roles => ["values"];

    public static CodeRows TryCreateBFloat16(UnitSpec spec, int columns) => Of(columns, isHalf: false);

    public static CodeRows TryCreateHalf(UnitSpec spec, int columns) => Of(columns, isHalf: true);

    public override void Read(ReadOnlySpan<nint> streams, long row, Span<byte> codes, Span<float> scales, Span<byte> zeros) =>
        new ReadOnlySpan<byte>((byte*)streams[0] + (row * _rowBytes), codes.Length).CopyTo(codes);

    private static WordRows Of(int columns, bool isHalf) => new(sizeof(ushort) * (long)columns) { IsHalf = isHalf, Bits = 16, Block = 0, Scale = TileScale.None };
}
