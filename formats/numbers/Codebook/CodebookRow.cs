namespace ModelPack.Numbers;

/// <summary>One row through the kernel of a tier.</summary>
internal static class CodebookRow
{
    /// <summary>Returns -1, or a position in the first block that holds a NaN or infinity.</summary>
    public static int Encode(ReadOnlySpan<float> row, int block, Codebook book, Span<byte> codes, Span<float> scales, SimdTier tier) => tier switch
    {
        SimdTier.Vector512 => CodebookKernel<Lanes512>.EncodeRow(row, block, book, codes, scales, tier),
        SimdTier.Vector256 => CodebookKernel<Lanes256>.EncodeRow(row, block, book, codes, scales, tier),
        SimdTier.Vector128 => CodebookKernel<Lanes128>.EncodeRow(row, block, book, codes, scales, tier),
        _ => CodebookReference.EncodeRow(row, block, book, codes, scales),
    };

    public static void Decode(ReadOnlySpan<byte> codes, int block, Codebook book, ReadOnlySpan<float> scales, Span<float> row, SimdTier tier)
    {
        if (book.Table is ByteTable table && tier != SimdTier.Scalar)
        {
            for (int b = 0; b < scales.Length; b++)
            {
                int start = b * block;
                int count = Math.Min(block, row.Length - start);
                table.Decode(codes.Slice(start, count), scales[b], row.Slice(start, count), tier);
            }

            return;
        }

        switch (tier)
        {
            case SimdTier.Vector512:
                CodebookKernel<Lanes512>.DecodeRow4(codes, block, book, scales, row);
                break;
            case SimdTier.Vector256:
                CodebookKernel<Lanes256>.DecodeRow4(codes, block, book, scales, row);
                break;
            case SimdTier.Vector128:
                CodebookKernel<Lanes128>.DecodeRow4(codes, block, book, scales, row);
                break;
            default:
                CodebookReference.DecodeRow(codes, block, book, scales, row);
                break;
        }
    }
}
