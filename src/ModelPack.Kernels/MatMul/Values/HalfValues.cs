using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// f16 in pairs of columns, the first in the lower half of a lane, exact for every code. Exponent and mantissa moved to their places in an f32 are the value divided by 2^112, subnormals too; codes of infinity and NaN get all bits of the exponent afterwards.
/// </summary>
internal readonly unsafe struct HalfValues : IValues
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Get<TSimd, TCodes>(byte* unit, int group, float* table, TSimd zero, out TSimd a, out TSimd b, out TSimd c, out TSimd d)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes
    {
        byte* at = unit + (2 * group * TilePlanes.VectorBytes);
        TSimd first = TSimd.Load(at);
        TSimd second = TSimd.Load(at + TilePlanes.VectorBytes);
        a = Value(TSimd.ShiftLeft(first, 16));
        b = Value(first);
        c = Value(TSimd.ShiftLeft(second, 16));
        d = Value(second);
    }

    /// <summary>The value of the upper 16 bits of every lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TSimd Value<TSimd>(TSimd code)
        where TSimd : struct, ISimd<TSimd>
    {
        TSimd magnitude = TSimd.And(TSimd.ShiftRight(code, 3), TSimd.Create(0x0FFFE000));

        // Bit 28 is set where the exponent has all its bits; 2^31 - 2^23 times that bit are all bits of an f32's.
        TSimd special = TSimd.ShiftRight(TSimd.And(TSimd.AddIntegers(magnitude, TSimd.Create(0x00800000)), TSimd.Create(0x10000000)), 5);
        special = TSimd.SubtractIntegers(TSimd.ShiftLeft(special, 8), special);
        TSimd value = TSimd.Multiply(magnitude, TSimd.Create(5192296858534827628530496329220096f)); // 2^112
        return TSimd.Or(TSimd.Or(value, special), TSimd.And(code, TSimd.Create(int.MinValue)));
    }
}
