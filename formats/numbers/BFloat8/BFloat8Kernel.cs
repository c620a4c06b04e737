using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>f32 to bfloat8 by truncation, 16 values at a time; per lane <see cref="BFloat8Reference"/>, which also takes the remainder.</summary>
internal static class BFloat8Kernel<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    public static void Encode(ReadOnlySpan<float> values, Span<byte> codes)
    {
        codes = codes[..values.Length];
        TLanes magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        TLanes infinity = TLanes.CreateInt(0x7F800000);
        TLanes overflow = TLanes.CreateInt(BFloat8Reference.OverflowBits - 1);
        TLanes rebias = TLanes.CreateInt((127 - 15) << 2);
        TLanes leastNormal = TLanes.CreateInt(BFloat8Reference.LeastNormalBits);
        TLanes one = TLanes.CreateInt(BFloat8Reference.SubnormalBits(1) - 1);
        TLanes two = TLanes.CreateInt(BFloat8Reference.SubnormalBits(2) - 1);
        TLanes three = TLanes.CreateInt(BFloat8Reference.SubnormalBits(3) - 1);
        TLanes infinite = TLanes.CreateInt(0x7C);
        TLanes nan = TLanes.CreateInt(0x7E);
        ref float from = ref MemoryMarshal.GetReference(values);
        int i = 0;
        for (; i + 16 <= values.Length; i += 16)
        {
            TLanes bits = TLanes.Load(ref Unsafe.Add(ref from, i));
            TLanes magnitude = TLanes.And(bits, magnitudeMask);
            TLanes code = TLanes.SubtractInt(TLanes.ShiftRight(magnitude, 21), rebias);

            // Masks are -1: three comparisons count the multiples of the least subnormal.
            TLanes subnormal = TLanes.SubtractInt(default, TLanes.AddInt(TLanes.AddInt(TLanes.GreaterInt(magnitude, one), TLanes.GreaterInt(magnitude, two)), TLanes.GreaterInt(magnitude, three)));
            code = TLanes.Select(TLanes.GreaterInt(leastNormal, magnitude), subnormal, code);
            code = TLanes.Select(TLanes.GreaterInt(magnitude, overflow), infinite, code);
            code = TLanes.Select(TLanes.GreaterInt(magnitude, infinity), nan, code);
            code = TLanes.Or(code, TLanes.ShiftLeft(TLanes.ShiftRight(bits, 31), 7));
            MemoryMarshal.Write(codes.Slice(i, 16), TLanes.LowBytes(code));
        }

        for (; i < values.Length; i++)
        {
            codes[i] = BFloat8Reference.Encode(values[i]);
        }
    }
}
