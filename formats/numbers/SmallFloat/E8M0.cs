namespace ModelPack.Numbers;

/// <summary>
/// E8M0, the power-of-two scale format: code c is 2^(c-127), code 255 is NaN; there is no sign and no zero. Code 0 is the f32
/// subnormal 2^-127, so a plain shift by 23 decodes codes 0 and 255 wrongly.
/// </summary>
public static class E8M0
{
    /// <summary>How a value between two powers of two is rounded.</summary>
    public enum Rounding
    {
        /// <summary>To the nearest in value: up from a significand of 1.5 on.</summary>
        Nearest,

        /// <summary>To the power below.</summary>
        Down,

        /// <summary>To the power above.</summary>
        Up,
    }

    /// <summary>The value of a code.</summary>
    public static float Decode(byte code) => code switch
    {
        0 => BitConverter.Int32BitsToSingle(0x00400000),
        255 => float.NaN,
        _ => BitConverter.Int32BitsToSingle(code << 23),
    };

    /// <summary>Saturating: 0 and all below 2^-127 give code 0, infinity and all above 2^127 give 254. The sign is ignored; NaN gives 255.</summary>
    public static byte Encode(float value, Rounding rounding)
    {
        int magnitude = BitConverter.SingleToInt32Bits(value) & 0x7FFFFFFF;
        if (magnitude >= 0x7F800000)
        {
            return magnitude > 0x7F800000 ? (byte)255 : (byte)254;
        }

        int exponent = magnitude >> 23;
        int fraction = magnitude & 0x7FFFFF;
        if (exponent == 0)
        {
            // Subnormals: 2^-127 is fraction 0x400000 and code 0; 2^-126 is code 1.
            return rounding switch
            {
                Rounding.Nearest => fraction >= 0x600000 ? (byte)1 : (byte)0,
                Rounding.Down => 0,
                _ => fraction > 0x400000 ? (byte)1 : (byte)0,
            };
        }

        int up = rounding switch
        {
            Rounding.Nearest => fraction >= 0x400000 ? 1 : 0,
            Rounding.Down => 0,
            _ => fraction > 0 ? 1 : 0,
        };
        return (byte)Math.Min(exponent + up, 254);
    }
}
