namespace ModelPack.Numbers;

/// <summary>Palette coding one value at a time: the oracle for <see cref="PaletteKernel{TLanes}"/> and <see cref="PaletteWide"/>.</summary>
internal static class PaletteReference
{
    public static void EncodeRow(ReadOnlySpan<float> row, Palette palette, Span<byte> codes)
    {
        codes.Clear();
        for (int i = 0; i < row.Length; i++)
        {
            CodePacking.Set(codes, i, palette.Bits, palette.Encode(row[i]));
        }
    }

    public static void DecodeRow(ReadOnlySpan<byte> codes, Palette palette, Span<float> row)
    {
        for (int i = 0; i < row.Length; i++)
        {
            row[i] = palette.Values[CodePacking.Get(codes, i, palette.Bits)];
        }
    }
}
