namespace ModelPack.Numbers;

/// <summary>Codebook coding one value at a time: the oracle for <see cref="CodebookKernel{TLanes}"/>.</summary>
internal static class CodebookReference
{
    /// <summary>Returns -1, or a position in the first block that holds a NaN or infinity.</summary>
    public static int EncodeRow(ReadOnlySpan<float> row, int block, Codebook book, Span<byte> codes, Span<float> scales)
    {
        codes.Clear();
        for (int b = 0; b < scales.Length; b++)
        {
            int start = b * block;
            ReadOnlySpan<float> values = row.Slice(start, Math.Min(block, row.Length - start));
            float amax = 0;
            foreach (float value in values)
            {
                if (!float.IsFinite(value))
                {
                    return start;
                }

                amax = Math.Max(amax, Math.Abs(value));
            }

            BlockDivisor divisor = BlockDivisor.Of(amax, values.Length == block);
            scales[b] = divisor.Stored;
            for (int i = 0; i < values.Length; i++)
            {
                Set(codes, start + i, book, Code(values[i], divisor, book));
            }
        }

        if (book.Bits == 4 && (row.Length & 1) == 1)
        {
            Set(codes, row.Length, book, book.Encode(0));
        }

        return -1;
    }

    public static void DecodeRow(ReadOnlySpan<byte> codes, int block, Codebook book, ReadOnlySpan<float> scales, Span<float> row)
    {
        for (int i = 0; i < row.Length; i++)
        {
            int code = book.Bits == 8 ? codes[i] : (codes[i / 2] >> ((i & 1) == 0 ? 4 : 0)) & 15;
            row[i] = book.Values[code] * scales[i / block];
        }
    }

    private static byte Code(float value, BlockDivisor divisor, Codebook book) =>
        book.Encode(divisor.IsFactor ? value * divisor.Value : value / divisor.Value);

    private static void Set(Span<byte> codes, int index, Codebook book, byte code)
    {
        if (book.Bits == 8)
        {
            codes[index] = code;
        }
        else
        {
            codes[index / 2] |= (byte)((index & 1) == 0 ? code << 4 : code);
        }
    }
}
