using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>What the encoders of ggml's blocks share over 16 lanes; equal to <see cref="GgufHalf"/> and <see cref="E2M1"/> lane by lane.</summary>
internal static class GgufLanes<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    /// <summary>Blocks whose largest magnitude is smaller than this have subnormal scales with infinite or imprecise reciprocals and are left to the reference.</summary>
    public const float LeastNormalBlock = 1e-35f;

    /// <summary>The largest magnitude of whole groups of 16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Largest(ReadOnlySpan<float> values)
    {
        ref float x = ref MemoryMarshal.GetReference(values);
        TLanes mask = TLanes.CreateInt(0x7FFFFFFF);
        TLanes largest = TLanes.And(TLanes.Load(in x), mask);
        for (int i = 16; i + 16 <= values.Length; i += 16)
        {
            largest = TLanes.MaxInt(largest, TLanes.And(TLanes.Load(in Unsafe.Add(ref x, i)), mask));
        }

        return BitConverter.Int32BitsToSingle(TLanes.MaxIntAcross(largest));
    }

    /// <summary>Nearest integers, halves away from zero, of magnitudes below 2^22: adding the largest number below a half carries exactly the halves and what is above them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes RoundAway(TLanes values)
    {
        TLanes sign = TLanes.And(values, TLanes.CreateInt(int.MinValue));
        return TLanes.TruncateToInt(TLanes.Add(values, TLanes.Or(TLanes.Create(0.49999997f), sign)));
    }

    /// <summary>As <see cref="GgufHalf.Nearest"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Nearest(TLanes values) =>
        TLanes.SubtractInt(TLanes.And(TLanes.Add(values, TLanes.Create(12582912f)), TLanes.CreateInt(0x7FFFFF)), TLanes.CreateInt(0x400000));

    /// <summary>Integers brought into a range.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Clamp(TLanes values, int low, int high) =>
        TLanes.MinInt(TLanes.MaxInt(values, TLanes.CreateInt(low)), TLanes.CreateInt(high));

    /// <summary>1 plus the trits of quotients: -1 from -0.5 down, 1 from 0.5 up.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes TritCodes(TLanes quotients)
    {
        // Masks are -1.
        TLanes up = TLanes.GreaterFloat(quotients, TLanes.Create(0.49999997f));
        TLanes down = TLanes.GreaterFloat(TLanes.Create(-0.49999997f), quotients);
        return TLanes.AddInt(TLanes.SubtractInt(TLanes.CreateInt(1), up), down);
    }

    /// <summary>
    /// E2M1 codes of finite values, nearest even, saturating, the sign of zero kept. Below 1 the quantum is a half, which adding 2^22 rounds to; from 1 on one significand bit stays.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes E2M1Codes(TLanes values)
    {
        TLanes magnitude = TLanes.And(values, TLanes.CreateInt(0x7FFFFFFF));
        TLanes magic = TLanes.Create(4194304f);
        TLanes small = TLanes.SubtractInt(TLanes.Add(magnitude, magic), magic);
        TLanes odd = TLanes.And(TLanes.ShiftRight(magnitude, 22), TLanes.CreateInt(1));
        TLanes rounded = TLanes.AddInt(TLanes.AddInt(magnitude, TLanes.CreateInt((1 << 21) - 1)), odd);
        TLanes large = TLanes.SubtractInt(TLanes.ShiftRight(rounded, 22), TLanes.CreateInt(126 << 1));
        large = TLanes.MinInt(large, TLanes.CreateInt(7));
        TLanes code = TLanes.Select(TLanes.GreaterInt(TLanes.Create(1f), magnitude), small, large);
        return TLanes.Or(code, TLanes.ShiftLeft(TLanes.ShiftRight(values, 31), 3));
    }
}
