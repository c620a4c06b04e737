namespace ModelPack.Numbers;

/// <summary>bfloat8 one value at a time: E5M2 reached by truncation.</summary>
internal static class BFloat8Reference
{
    /// <summary>f32 bits of 2^16, from which on values become infinite.</summary>
    public const int OverflowBits = (127 + 16) << 23;

    /// <summary>f32 bits of 2^-14.</summary>
    public const int LeastNormalBits = (127 - 14) << 23;

    /// <summary>f32 bits of a multiple, 1 to 3, of 2^-16.</summary>
    public static int SubnormalBits(int multiple) => BitConverter.SingleToInt32Bits(multiple / 65536f);

    public static byte Encode(float value)
    {
        int bits = BitConverter.SingleToInt32Bits(value);
        int magnitude = bits & 0x7FFFFFFF;
        int code =
            magnitude > 0x7F800000 ? 0x7E
            : magnitude >= OverflowBits ? 0x7C
            : magnitude >= LeastNormalBits ? (magnitude >> 21) - ((127 - 15) << 2)
            : (int)(BitConverter.Int32BitsToSingle(magnitude) * 65536f);
        return (byte)(code | ((bits >>> 31) << 7));
    }

    /// <summary>The byte is the upper half of an f16.</summary>
    public static float Decode(byte code) => HalfWidthReference.WidenHalf((ushort)(code << 8));
}
