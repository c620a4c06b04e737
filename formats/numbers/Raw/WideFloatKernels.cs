namespace ModelPack.Numbers;

/// <summary>Chooses the kernel for bf16, f16 and 8-bit floats.</summary>
internal static class WideFloatKernels
{
    public static void WidenBf16(ReadOnlySpan<ushort> source, Span<float> values) => WidenBf16(source, values, SimdTiers.Current);

    public static void NarrowBf16(ReadOnlySpan<float> values, Span<ushort> destination) => NarrowBf16(values, destination, SimdTiers.Current);

    public static void WidenHalf(ReadOnlySpan<ushort> source, Span<float> values) => WidenHalf(source, values, SimdTiers.Current);

    public static void NarrowHalf(ReadOnlySpan<float> values, Span<ushort> destination) => NarrowHalf(values, destination, SimdTiers.Current);

    public static void EncodeBytes(ReadOnlySpan<float> values, SmallFloatFormat format, Span<byte> codes) => EncodeBytes(values, format, codes, SimdTiers.Current);

    internal static void WidenBf16(ReadOnlySpan<ushort> source, Span<float> values, SimdTier tier)
    {
        switch (tier)
        {
            case SimdTier.Vector512:
                HalfWidthKernel<Lanes512>.WidenBf16(source, values);
                break;
            case SimdTier.Vector256:
                HalfWidthKernel<Lanes256>.WidenBf16(source, values);
                break;
            case SimdTier.Vector128:
                HalfWidthKernel<Lanes128>.WidenBf16(source, values);
                break;
            default:
                for (int i = 0; i < source.Length; i++)
                {
                    values[i] = HalfWidthReference.WidenBf16(source[i]);
                }

                break;
        }
    }

    internal static void NarrowBf16(ReadOnlySpan<float> values, Span<ushort> destination, SimdTier tier)
    {
        switch (tier)
        {
            case SimdTier.Vector512:
                HalfWidthKernel<Lanes512>.NarrowBf16(values, destination);
                break;
            case SimdTier.Vector256:
                HalfWidthKernel<Lanes256>.NarrowBf16(values, destination);
                break;
            case SimdTier.Vector128:
                HalfWidthKernel<Lanes128>.NarrowBf16(values, destination);
                break;
            default:
                for (int i = 0; i < values.Length; i++)
                {
                    destination[i] = HalfWidthReference.NarrowBf16(values[i]);
                }

                break;
        }
    }

    internal static void WidenHalf(ReadOnlySpan<ushort> source, Span<float> values, SimdTier tier)
    {
        switch (tier)
        {
            case SimdTier.Vector512:
                HalfWidthKernel<Lanes512>.WidenHalf(source, values);
                break;
            case SimdTier.Vector256:
                HalfWidthKernel<Lanes256>.WidenHalf(source, values);
                break;
            case SimdTier.Vector128:
                HalfWidthKernel<Lanes128>.WidenHalf(source, values);
                break;
            default:
                for (int i = 0; i < source.Length; i++)
                {
                    values[i] = HalfWidthReference.WidenHalf(source[i]);
                }

                break;
        }
    }

    internal static void TruncateBf16(ReadOnlySpan<float> values, Span<ushort> destination, SimdTier tier)
    {
        switch (tier)
        {
            case SimdTier.Vector512:
                HalfWidthKernel<Lanes512>.TruncateBf16(values, destination);
                break;
            case SimdTier.Vector256:
                HalfWidthKernel<Lanes256>.TruncateBf16(values, destination);
                break;
            case SimdTier.Vector128:
                HalfWidthKernel<Lanes128>.TruncateBf16(values, destination);
                break;
            default:
                for (int i = 0; i < values.Length; i++)
                {
                    destination[i] = HalfWidthReference.TruncateBf16(values[i]);
                }

                break;
        }
    }

    internal static void NarrowHalf(ReadOnlySpan<float> values, Span<ushort> destination, SimdTier tier)
    {
        switch (tier)
        {
            case SimdTier.Vector512:
                HalfWidthKernel<Lanes512>.NarrowHalf(values, destination);
                break;
            case SimdTier.Vector256:
                HalfWidthKernel<Lanes256>.NarrowHalf(values, destination);
                break;
            case SimdTier.Vector128:
                HalfWidthKernel<Lanes128>.NarrowHalf(values, destination);
                break;
            default:
                for (int i = 0; i < values.Length; i++)
                {
                    destination[i] = (ushort)SmallFloatReference.Encode(values[i], SmallFloatFormat.Half);
                }

                break;
        }
    }

    internal static void EncodeWords(ReadOnlySpan<float> values, SmallFloatFormat format, Span<ushort> destination, SimdTier tier)
    {
        switch (tier)
        {
            case SimdTier.Vector512:
                SmallFloatKernel<Lanes512>.EncodeToWords(values, format, destination);
                break;
            case SimdTier.Vector256:
                SmallFloatKernel<Lanes256>.EncodeToWords(values, format, destination);
                break;
            case SimdTier.Vector128:
                SmallFloatKernel<Lanes128>.EncodeToWords(values, format, destination);
                break;
            default:
                for (int i = 0; i < values.Length; i++)
                {
                    destination[i] = (ushort)SmallFloatReference.Encode(values[i], format);
                }

                break;
        }
    }

    internal static void EncodeBytes(ReadOnlySpan<float> values, SmallFloatFormat format, Span<byte> codes, SimdTier tier)
    {
        switch (tier)
        {
            case SimdTier.Vector512:
                SmallFloatKernel<Lanes512>.EncodeToBytes(values, format, codes);
                break;
            case SimdTier.Vector256:
                SmallFloatKernel<Lanes256>.EncodeToBytes(values, format, codes);
                break;
            case SimdTier.Vector128:
                SmallFloatKernel<Lanes128>.EncodeToBytes(values, format, codes);
                break;
            default:
                for (int i = 0; i < values.Length; i++)
                {
                    codes[i] = (byte)SmallFloatReference.Encode(values[i], format);
                }

                break;
        }
    }
}
