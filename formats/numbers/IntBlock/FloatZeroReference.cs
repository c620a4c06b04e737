namespace ModelPack.Numbers;

/// <summary>Integer blocks with floating-point zero points, one value at a time: the oracle for <see cref="FloatZeroKernel{TLanes}"/>.</summary>
internal static class FloatZeroReference
{
    /// <summary>Encodes one row; returns the index of the first NaN or infinity, or -1.</summary>
    public static int EncodeRow(ReadOnlySpan<float> row, in IntBlockLayout layout, Span<byte> codes, Span<byte> scales, Span<byte> zeroPoints)
    {
        codes.Clear();
        for (int b = 0; b < layout.BlockCount; b++)
        {
            int start = b * layout.Block;
            ReadOnlySpan<float> block = row.Slice(start, Math.Min(layout.Block, row.Length - start));
            float low = float.PositiveInfinity;
            float high = float.NegativeInfinity;
            for (int i = 0; i < block.Length; i++)
            {
                if (!float.IsFinite(block[i]))
                {
                    return start + i;
                }

                low = Math.Min(low, block[i]);
                high = Math.Max(high, block[i]);
            }

            FloatZeroScale mapping = FloatZeroScale.Of(low, high, layout);
            ScaleType.Write(mapping.Scale, layout.Scale, scales, b);
            FloatZeroScale.WriteZero(mapping.ZeroPoint, layout.Scale, zeroPoints, b);
            Span<byte> blob = codes.Slice(b * layout.BlobBytes, layout.BlobBytes);
            for (int i = 0; i < block.Length; i++)
            {
                float shifted = (block[i] / mapping.Scale) + mapping.ZeroPoint;
                CodePacking.Set(blob, i, layout.Bits, (int)MathF.Round(Math.Min(Math.Max(shifted, 0), layout.MaxCode)));
            }
        }

        return -1;
    }

    public static void DecodeRow(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, ReadOnlySpan<byte> zeroPoints, in IntBlockLayout layout, Span<float> row)
    {
        for (int i = 0; i < row.Length; i++)
        {
            int b = i / layout.Block;
            int code = CodePacking.Get(codes.Slice(b * layout.BlobBytes, layout.BlobBytes), i - (b * layout.Block), layout.Bits);
            row[i] = (code - ScaleType.Read(zeroPoints, b, layout.Scale)) * ScaleType.Read(scales, b, layout.Scale);
        }
    }
}
