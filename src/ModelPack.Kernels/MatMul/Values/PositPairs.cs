using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// 16-bit posits as sign and magnitude, in pairs of columns, the first in the lower half of a lane, exact for every code but for a power of two common to all.
/// <para>
/// Posits of reciprocal powers of two have complementary regimes: with the 15 bits of the magnitude read as a signed number u, u >= 0 are the values below 1, and -u counts those from 1 upwards down from the largest. So f32(u), whose
/// exponent is the place of the regime's last bit and whose significand is what follows it, shifted left by the exponent bits es, is the value's exponent and significand for u >= 0, and a constant minus it for u &lt; 0. Both with
/// another bias than f32's, which is the common factor; zero stays zero.
/// </para>
/// </summary>
internal static unsafe class PositPairs
{
    /// <summary>Bits below the exponent of an f32.</summary>
    private const int Significand = 23;

    private const int F32Bias = 127;

    /// <summary>Bits of u in a lane.</summary>
    public const int Magnitudes = unchecked((int)0xFFFE0000);

    /// <summary>Exponent of f32(u) for the largest u, with bias: u is in the upper 15 bits of a lane.</summary>
    private const int TopExponent = F32Bias + 31;

    /// <summary>What values are multiplied by.</summary>
    /// <param name="exponentBits">es: 1 or 2.</param>
    public static float Factor(int exponentBits) => float.ScaleB(1, F32Bias - Bias(exponentBits));

    /// <summary>The four columns of a group before that factor, see <see cref="IValues.Get"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Get<TSimd>(byte* unit, int group, int exponentBits, out TSimd a, out TSimd b, out TSimd c, out TSimd d)
        where TSimd : struct, ISimd<TSimd>
    {
        byte* at = unit + (2 * group * TilePlanes.VectorBytes);
        Pair(TSimd.Load(at), exponentBits, out a, out b);
        Pair(TSimd.Load(at + TilePlanes.VectorBytes), exponentBits, out c, out d);
    }

    /// <summary>One value with its factor.</summary>
    /// <param name="word">Sign and magnitude; of NaR the sign alone.</param>
    /// <param name="exponentBits">es: 1 or 2.</param>
    public static float Decode(ushort word, int exponentBits)
    {
        if (word == 0x8000)
        {
            return BitConverter.UInt32BitsToSingle(0x7FC00000);
        }

        int magnitude = word << 17;
        uint shifted = BitConverter.SingleToUInt32Bits(magnitude) << exponentBits;
        uint value = magnitude < 0 ? unchecked((uint)Mirror(exponentBits) - shifted) : shifted;
        return BitConverter.UInt32BitsToSingle((value & int.MaxValue) | ((uint)(word & 0x8000) << 16)) * Factor(exponentBits);
    }

    /// <summary>Exponent of 1, so that nothing has to be added to f32(u): what the largest u has after the shift, without the bit that is the sign of an f32.</summary>
    private static int Bias(int exponentBits) => (TopExponent << exponentBits) & byte.MaxValue;

    /// <summary>What f32(u) is subtracted from for u &lt; 0: f32(-u) of 1 is the largest exponent, and the value's has to be the bias.</summary>
    public static int Mirror(int exponentBits) => unchecked((Bias(exponentBits) + (TopExponent << exponentBits)) << Significand);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Pair<TSimd>(TSimd words, int exponentBits, out TSimd a, out TSimd b)
        where TSimd : struct, ISimd<TSimd>
    {
        a = One(TSimd.ShiftLeft(words, 17), TSimd.ShiftLeft(words, 16), exponentBits);
        b = One(TSimd.And(TSimd.ShiftLeft(words, 1), TSimd.Create(Magnitudes)), words, exponentBits);
    }

    /// <param name="magnitude">u in the upper 15 bits.</param>
    /// <param name="sign">In the highest bit.</param>
    /// <param name="exponentBits">es.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TSimd One<TSimd>(TSimd magnitude, TSimd sign, int exponentBits)
        where TSimd : struct, ISimd<TSimd>
    {
        TSimd shifted = TSimd.ShiftLeft(TSimd.ToSingle(magnitude), exponentBits);
        TSimd value = TSimd.SelectBySign(magnitude, TSimd.SubtractIntegers(TSimd.Create(Mirror(exponentBits)), shifted), shifted);

        // With two exponent bits nothing is left in the place of the sign.
        value = exponentBits == 2 ? value : TSimd.And(value, TSimd.Create(int.MaxValue));
        return TSimd.Or(value, TSimd.And(sign, TSimd.Create(int.MinValue)));
    }
}
