namespace ModelPack.Numbers;

/// <summary>How a block with a floating-point zero point is mapped: value = (code - zero point) x scale. The range need not hold zero.</summary>
/// <param name="Scale">Finite, positive, already rounded to the stored type.</param>
/// <param name="ZeroPoint">Where zero would lie on the scale of codes, already rounded to the stored type.</param>
internal readonly record struct FloatZeroScale(float Scale, float ZeroPoint)
{
    public static FloatZeroScale Of(float low, float high, in IntBlockLayout layout)
    {
        float range = high - low;
        if (!(range > 0))
        {
            // One value only: code 0 is that value.
            return new(1f, RoundZero(0f - low, layout.Scale));
        }

        int maxCode = layout.MaxCode;
        float scale = ScaleType.Round(float.IsInfinity(range) ? (high / maxCode) - (low / maxCode) : range / maxCode, layout.Scale);
        return new(scale, RoundZero(0f - (low / scale), layout.Scale));
    }

    /// <summary>Nearest even, within the finite values of the type.</summary>
    public static float RoundZero(float zero, DType type)
    {
        float finite = Math.Clamp(zero, -float.MaxValue, float.MaxValue);
        switch (type)
        {
            case DType.F32:
                return finite;
            case DType.BF16:
                float narrow = HalfWidthReference.WidenBf16(HalfWidthReference.NarrowBf16(finite));
                return float.IsFinite(narrow) ? narrow : MathF.CopySign(HalfWidthReference.WidenBf16(0x7F7F), finite);
            default:
                return HalfWidthReference.WidenHalf((ushort)SmallFloatReference.Encode(Math.Clamp(finite, -65504f, 65504f), SmallFloatFormat.Half));
        }
    }

    /// <summary>Stores a zero point that was rounded to <paramref name="type"/>.</summary>
    public static void WriteZero(float zero, DType type, Span<byte> zeroPoints, int index) => ScaleType.Write(zero, type, zeroPoints, index);
}
