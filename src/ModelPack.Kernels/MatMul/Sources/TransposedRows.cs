namespace ModelPack.Kernels.MatMul;

/// <summary>Blocks of plain values, one in a row, as the blocks of the transposed matrix.</summary>
/// <param name="source">Blocks as they are stored.</param>
/// <param name="rows">Rows of a stored block.</param>
/// <param name="columns">Its columns.</param>
internal sealed class TransposedRows(CodeRows source, int rows, int columns) : CodeRows
{
    public override IReadOnlyList<string> Roles => source.Roles;

    public override void Read(ReadOnlySpan<nint> streams, long row, Span<byte> codes, Span<float> scales, Span<byte> zeros)
    {
        int width = Bits / 8;
        byte[] stored = new byte[rows * columns * width];
        source.Read(streams, row, stored, scales, zeros);
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++)
            {
                stored.AsSpan(((r * columns) + c) * width, width).CopyTo(codes[(((c * rows) + r) * width)..]);
            }
        }
    }
}
