namespace ModelPack.Numbers;

/// <summary>
/// Double quantisation: the scales of a row, less their mean, coded with the signed dynamic map in blocks of 256. Bit for bit what bitsandbytes does, the mean aside (its order of summation is not defined).
/// </summary>
internal static class NestedScales
{
    /// <summary>Scales per second-level scale.</summary>
    public const int Block = 256;

    /// <summary>The mean of the scales, summed in f64 in order.</summary>
    public static float Offset(ReadOnlySpan<float> scales)
    {
        double sum = 0;
        foreach (float scale in scales)
        {
            sum += scale;
        }

        return scales.IsEmpty ? 0 : (float)(sum / scales.Length);
    }

    /// <summary>Codes scales; <paramref name="scales"/> is left with the offset subtracted.</summary>
    public static void Encode(Span<float> scales, float offset, Span<byte> codes, Span<float> second, SimdTier tier)
    {
        for (int i = 0; i < scales.Length; i++)
        {
            // Two scales of f32's range cannot be further apart than its largest value: both are at least 0.
            scales[i] -= offset;
        }

        CodebookRow.Encode(scales, Block, Codebook.Dynamic8, codes, second, tier);
    }

    public static void Decode(ReadOnlySpan<byte> codes, ReadOnlySpan<float> second, float offset, Span<float> scales, SimdTier tier)
    {
        CodebookRow.Decode(codes, Block, Codebook.Dynamic8, second, scales, tier);
        for (int i = 0; i < scales.Length; i++)
        {
            scales[i] += offset;
        }
    }
}
