namespace ModelPack.Numbers;

/// <summary>bf16 and f16 one value at a time: the oracle for <see cref="HalfWidthKernel{TLanes}"/>.</summary>
internal static class HalfWidthReference
{
    public static float WidenBf16(ushort code) => BitConverter.Int32BitsToSingle(code << 16);

    /// <summary>To nearest even; NaN keeps sign and upper payload and gets the quiet bit, so that it cannot turn into an infinity.</summary>
    public static ushort NarrowBf16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return (bits & 0x7FFFFFFF) > 0x7F800000
            ? (ushort)((bits >> 16) | 0x40)
            : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    /// <summary>Towards zero: the upper half. NaN gets the quiet bit, for its payload may lie in the lower half alone.</summary>
    public static ushort TruncateBf16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return (ushort)((bits >> 16) | ((bits & 0x7FFFFFFF) > 0x7F800000 ? 0x40u : 0u));
    }

    /// <summary>Exact. The f16 exponent and significand, moved to their f32 places, are 2^112 too small, subnormals included.</summary>
    public static float WidenHalf(ushort code)
    {
        int magnitude = code & 0x7FFF;
        int sign = (code & 0x8000) << 16;
        int bits = magnitude >= 0x7C00
            ? (magnitude << 13) | 0x7F800000
            : BitConverter.SingleToInt32Bits(BitConverter.Int32BitsToSingle(magnitude << 13) * BitConverter.Int32BitsToSingle(0x77800000));
        return BitConverter.Int32BitsToSingle(bits | sign);
    }
}
