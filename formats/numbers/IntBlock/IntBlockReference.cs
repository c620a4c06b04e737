namespace ModelPack.Numbers;

/// <summary>
/// Integer block coding one value at a time: the oracle for <see cref="IntBlockKernel{TLanes}"/>, written for reading, not for speed.
/// </summary>
internal static class IntBlockReference
{
    /// <summary>Encodes one row; returns the index of the first NaN or infinity, or -1.</summary>
    public static int EncodeRow(ReadOnlySpan<float> row, in IntBlockLayout layout, Span<byte> codes, Span<byte> scales, Span<byte> zeroPoints)
    {
        for (int i = 0; i < row.Length; i++)
        {
            if (!float.IsFinite(row[i]))
            {
                return i;
            }
        }

        codes.Clear();
        zeroPoints.Clear();
        for (int b = 0; b < layout.BlockCount; b++)
        {
            int start = b * layout.Block;
            ReadOnlySpan<float> block = row.Slice(start, Math.Min(layout.Block, row.Length - start));
            BlockScale mapping = Choose(block, layout);
            ScaleType.Write(mapping.Scale, layout.Scale, scales, b);
            if (!layout.Symmetric)
            {
                CodePacking.Set(zeroPoints, b, layout.Bits, mapping.ZeroPoint);
            }

            Span<byte> blob = codes.Slice(b * layout.BlobBytes, layout.BlobBytes);
            for (int i = 0; i < blob.Length * 8 / layout.Bits; i++)
            {
                CodePacking.Set(blob, i, layout.Bits, i < block.Length ? Code(block[i], mapping, layout) : mapping.ZeroPoint);
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
            int zeroPoint = layout.Symmetric ? layout.Offset : CodePacking.Get(zeroPoints, b, layout.Bits);
            row[i] = (code - zeroPoint) * ScaleType.Read(scales, b, layout.Scale);
        }
    }

    /// <summary>The exponent-only factor that brings a block's errors near 1, so that their squares neither overflow nor vanish.</summary>
    public static float ErrorUnit(float amax)
    {
        int exponent = Math.Max((BitConverter.SingleToInt32Bits(amax) >> 23) & 0xFF, 1);
        return BitConverter.Int32BitsToSingle(Math.Clamp(254 - exponent, 1, 253) << 23);
    }

    /// <summary>A candidate must win by this factor: more than the rounding of the error sums, so the result is never truly worse.</summary>
    public const double Margin = 1 - (1.0 / 65536);

    private static BlockScale Choose(ReadOnlySpan<float> block, in IntBlockLayout layout)
    {
        float low = 0;
        float high = 0;
        foreach (float value in block)
        {
            low = Math.Min(low, value);
            high = Math.Max(high, value);
        }

        float amax = Math.Max(-low, high);
        BlockScale best = Mapping(low, high, amax, 1, layout);
        if (!layout.Search || amax == 0)
        {
            return best;
        }

        float unit = ErrorUnit(amax);
        double least = SquaredError(block, best, unit, layout);
        for (int step = 1; step < layout.SearchSteps; step++)
        {
            BlockScale candidate = Mapping(low, high, amax, layout.Shrink(step), layout);
            double error = SquaredError(block, candidate, unit, layout);
            if (error < least * Margin)
            {
                least = error;
                best = candidate;
            }
        }

        return best;
    }

    private static BlockScale Mapping(float low, float high, float amax, float shrink, in IntBlockLayout layout) =>
        layout.Symmetric ? BlockScale.Symmetric(amax, shrink, layout) : BlockScale.Asymmetric(low, high, shrink, layout);

    /// <summary>The code of one value: divide, clamp, round to even, add the zero point.</summary>
    internal static int Code(float value, BlockScale mapping, in IntBlockLayout layout)
    {
        float quotient = value / mapping.Scale;
        float clamped = Math.Min(Math.Max(quotient, -mapping.ZeroPoint), layout.MaxCode - mapping.ZeroPoint);
        return (int)MathF.Round(clamped) + mapping.ZeroPoint;
    }

    /// <summary>Sixteen f32 sums over runs of 256 values, added by the fixed tree, the runs added in f64.</summary>
    private static double SquaredError(ReadOnlySpan<float> block, BlockScale mapping, float unit, in IntBlockLayout layout)
    {
        double total = 0;
        Span<float> lanes = stackalloc float[16];
        for (int run = 0; run < block.Length; run += 256)
        {
            lanes.Clear();
            for (int i = run; i < Math.Min(run + 256, block.Length); i++)
            {
                float decoded = (Code(block[i], mapping, layout) - mapping.ZeroPoint) * mapping.Scale;
                float error = (block[i] - decoded) * unit;
                float square = error * error;
                lanes[i & 15] += square;
            }

            for (int half = 8; half > 0; half /= 2)
            {
                for (int i = 0; i < half; i++)
                {
                    lanes[i] += lanes[i + half];
                }
            }

            total += lanes[0];
        }

        return total;
    }
}
