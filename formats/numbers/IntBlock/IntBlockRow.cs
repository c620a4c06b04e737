namespace ModelPack.Numbers;

/// <summary>One row through the kernel of a tier.</summary>
internal static class IntBlockRow
{
    /// <summary>Returns an index at or before the first NaN or infinity, in its block; -1 when all values are finite.</summary>
    public static int Encode(ReadOnlySpan<float> row, in IntBlockLayout layout, Span<byte> codes, Span<byte> scales, Span<byte> zeroPoints, SimdTier tier) => tier switch
    {
        SimdTier.Vector512 when layout.FloatZero => FloatZeroKernel<Lanes512>.EncodeRow(row, layout, codes, scales, zeroPoints),
        SimdTier.Vector256 when layout.FloatZero => FloatZeroKernel<Lanes256>.EncodeRow(row, layout, codes, scales, zeroPoints),
        SimdTier.Vector128 when layout.FloatZero => FloatZeroKernel<Lanes128>.EncodeRow(row, layout, codes, scales, zeroPoints),
        _ when layout.FloatZero => FloatZeroReference.EncodeRow(row, layout, codes, scales, zeroPoints),
        SimdTier.Vector512 => IntBlockKernel<Lanes512>.EncodeRow(row, layout, codes, scales, zeroPoints),
        SimdTier.Vector256 => IntBlockKernel<Lanes256>.EncodeRow(row, layout, codes, scales, zeroPoints),
        SimdTier.Vector128 => IntBlockKernel<Lanes128>.EncodeRow(row, layout, codes, scales, zeroPoints),
        _ => IntBlockReference.EncodeRow(row, layout, codes, scales, zeroPoints),
    };

    public static void Decode(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, ReadOnlySpan<byte> zeroPoints, in IntBlockLayout layout, Span<float> row, SimdTier tier)
    {
        switch (tier)
        {
            case SimdTier.Vector512 when layout.FloatZero:
                FloatZeroKernel<Lanes512>.DecodeRow(codes, scales, zeroPoints, layout, row, tier);
                break;
            case SimdTier.Vector256 when layout.FloatZero:
                FloatZeroKernel<Lanes256>.DecodeRow(codes, scales, zeroPoints, layout, row, tier);
                break;
            case SimdTier.Vector128 when layout.FloatZero:
                FloatZeroKernel<Lanes128>.DecodeRow(codes, scales, zeroPoints, layout, row, tier);
                break;
            case SimdTier.Scalar when layout.FloatZero:
                FloatZeroReference.DecodeRow(codes, scales, zeroPoints, layout, row);
                break;
            case SimdTier.Vector512:
                IntBlockKernel<Lanes512>.DecodeRow(codes, scales, zeroPoints, layout, row, tier);
                break;
            case SimdTier.Vector256:
                IntBlockKernel<Lanes256>.DecodeRow(codes, scales, zeroPoints, layout, row, tier);
                break;
            case SimdTier.Vector128:
                IntBlockKernel<Lanes128>.DecodeRow(codes, scales, zeroPoints, layout, row, tier);
                break;
            default:
                IntBlockReference.DecodeRow(codes, scales, zeroPoints, layout, row);
                break;
        }
    }

    /// <summary>
    /// Encodes the first blocks of a row in bit planes, as many as <paramref name="blocks"/> says. Returns 0, or one more than the number of a block with a NaN or infinity. Clears the zero points
    /// of all blocks.
    /// </summary>
    public static int EncodePlanes(ReadOnlySpan<float> row, in IntBlockLayout layout, Span<byte> codes, Span<byte> scales, Span<byte> zeroPoints, SimdTier tier, out int blocks)
    {
        zeroPoints.Clear();
        switch (tier)
        {
            case SimdTier.Vector512:
                return IntBlockFastKernel<Lanes512>.EncodeRow<PlaneCodes>(row, layout, codes, scales, zeroPoints, out blocks);
            case SimdTier.Vector256:
                return IntBlockFastKernel<Lanes256>.EncodeRow<PlaneCodes>(row, layout, codes, scales, zeroPoints, out blocks);
            case SimdTier.Vector128:
                return IntBlockFastKernel<Lanes128>.EncodeRow<PlaneCodes>(row, layout, codes, scales, zeroPoints, out blocks);
            default:
                blocks = 0;
                return 0;
        }
    }

    /// <summary>Decodes the first blocks of a row in bit planes and returns how many.</summary>
    public static int DecodePlanes(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, ReadOnlySpan<byte> zeroPoints, in IntBlockLayout layout, Span<float> row, SimdTier tier) => tier switch
    {
        SimdTier.Vector512 => IntBlockDecodeKernel<Lanes512>.DecodePlanes(codes, scales, zeroPoints, layout, row, tier),
        SimdTier.Vector256 => IntBlockDecodeKernel<Lanes256>.DecodePlanes(codes, scales, zeroPoints, layout, row, tier),
        SimdTier.Vector128 => IntBlockDecodeKernel<Lanes128>.DecodePlanes(codes, scales, zeroPoints, layout, row, tier),
        _ => 0,
    };
}
