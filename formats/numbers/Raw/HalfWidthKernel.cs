using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>bf16 and f16, 16 values at a time; per lane the lines of <see cref="HalfWidthReference"/>, which also takes the remainder.</summary>
internal static class HalfWidthKernel<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    public static void WidenBf16(ReadOnlySpan<ushort> source, Span<float> values)
    {
        values = values[..source.Length];
        ref ushort from = ref MemoryMarshal.GetReference(source);
        ref float to = ref MemoryMarshal.GetReference(values);
        int i = 0;
        for (; i + 16 <= source.Length; i += 16)
        {
            TLanes.Store(TLanes.ShiftLeft(TLanes.LoadU16(ref Unsafe.Add(ref from, i)), 16), ref Unsafe.Add(ref to, i));
        }

        for (; i < source.Length; i++)
        {
            values[i] = HalfWidthReference.WidenBf16(source[i]);
        }
    }

    public static void NarrowBf16(ReadOnlySpan<float> values, Span<ushort> destination)
    {
        destination = destination[..values.Length];
        ref float from = ref MemoryMarshal.GetReference(values);
        ref ushort to = ref MemoryMarshal.GetReference(destination);
        TLanes magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        TLanes infinity = TLanes.CreateInt(0x7F800000);
        TLanes halfMinusOne = TLanes.CreateInt(0x7FFF);
        TLanes one = TLanes.CreateInt(1);
        TLanes quiet = TLanes.CreateInt(0x40);
        int i = 0;
        for (; i + 16 <= values.Length; i += 16)
        {
            TLanes bits = TLanes.Load(ref Unsafe.Add(ref from, i));
            TLanes top = TLanes.ShiftRight(bits, 16);
            TLanes rounded = TLanes.ShiftRight(TLanes.AddInt(TLanes.AddInt(bits, halfMinusOne), TLanes.And(top, one)), 16);
            TLanes isNan = TLanes.GreaterInt(TLanes.And(bits, magnitudeMask), infinity);
            TLanes.StoreU16(TLanes.Select(isNan, TLanes.Or(top, quiet), rounded), ref Unsafe.Add(ref to, i));
        }

        for (; i < values.Length; i++)
        {
            destination[i] = HalfWidthReference.NarrowBf16(values[i]);
        }
    }

    public static void TruncateBf16(ReadOnlySpan<float> values, Span<ushort> destination)
    {
        destination = destination[..values.Length];
        ref float from = ref MemoryMarshal.GetReference(values);
        ref ushort to = ref MemoryMarshal.GetReference(destination);
        TLanes magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        TLanes infinity = TLanes.CreateInt(0x7F800000);
        TLanes quiet = TLanes.CreateInt(0x40);
        int i = 0;
        for (; i + 16 <= values.Length; i += 16)
        {
            TLanes bits = TLanes.Load(ref Unsafe.Add(ref from, i));
            TLanes isNan = TLanes.GreaterInt(TLanes.And(bits, magnitudeMask), infinity);
            TLanes.StoreU16(TLanes.Or(TLanes.ShiftRight(bits, 16), TLanes.And(isNan, quiet)), ref Unsafe.Add(ref to, i));
        }

        for (; i < values.Length; i++)
        {
            destination[i] = HalfWidthReference.TruncateBf16(values[i]);
        }
    }

    /// <summary>
    /// f32 to f16, to nearest even. Both the normal code (half a unit less one added, and the bit that decides ties) and the subnormal one (by the addition of 2^-1, whose quantum is that of
    /// subnormal f16) are computed and one selected; everything too large is cut to infinity.
    /// </summary>
    public static void NarrowHalf(ReadOnlySpan<float> values, Span<ushort> destination)
    {
        destination = destination[..values.Length];
        ref float from = ref MemoryMarshal.GetReference(values);
        ref ushort to = ref MemoryMarshal.GetReference(destination);
        TLanes magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        TLanes signMask = TLanes.CreateInt(0x8000);
        TLanes one = TLanes.CreateInt(1);

        // Half a unit less one, and the exponent's bias from f32's 127 to 15.
        TLanes offset = TLanes.CreateInt(0xFFF - (112 << 23));
        TLanes infinity = TLanes.CreateInt(0x7C00);
        TLanes magic = TLanes.Create(0.5f);
        TLanes leastNormal = TLanes.CreateInt((127 - 14) << 23);
        TLanes wideInfinity = TLanes.CreateInt(0x7F800000);
        TLanes nan = TLanes.CreateInt(0x7E00);
        int i = 0;
        for (; i + 16 <= values.Length; i += 16)
        {
            TLanes bits = TLanes.Load(ref Unsafe.Add(ref from, i));
            TLanes magnitude = TLanes.And(bits, magnitudeMask);
            TLanes odd = TLanes.And(TLanes.ShiftRight(magnitude, 13), one);
            TLanes normal = TLanes.MinInt(TLanes.ShiftRight(TLanes.AddInt(TLanes.AddInt(magnitude, offset), odd), 13), infinity);
            TLanes subnormal = TLanes.SubtractInt(TLanes.Add(magnitude, magic), magic);
            TLanes code = TLanes.Select(TLanes.GreaterInt(leastNormal, magnitude), subnormal, normal);
            code = TLanes.Select(TLanes.GreaterInt(magnitude, wideInfinity), nan, code);
            TLanes.StoreU16(TLanes.Or(code, TLanes.And(TLanes.ShiftRight(bits, 16), signMask)), ref Unsafe.Add(ref to, i));
        }

        for (; i < values.Length; i++)
        {
            destination[i] = (ushort)SmallFloatReference.Encode(values[i], SmallFloatFormat.Half);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void WidenHalf(ReadOnlySpan<ushort> source, Span<float> values)
    {
        values = values[..source.Length];
        ref ushort from = ref MemoryMarshal.GetReference(source);
        ref float to = ref MemoryMarshal.GetReference(values);
        TLanes magnitudeMask = TLanes.CreateInt(0x7FFF);
        TLanes signMask = TLanes.CreateInt(0x8000);
        TLanes lastFinite = TLanes.CreateInt(0x7BFF);
        TLanes infinity = TLanes.CreateInt(0x7F800000);
        TLanes rebias = TLanes.CreateInt(0x77800000);
        int i = 0;
        for (; i + 16 <= source.Length; i += 16)
        {
            TLanes code = TLanes.LoadU16(ref Unsafe.Add(ref from, i));
            TLanes magnitude = TLanes.And(code, magnitudeMask);
            TLanes moved = TLanes.ShiftLeft(magnitude, 13);
            TLanes finite = TLanes.Multiply(moved, rebias);
            TLanes bits = TLanes.Select(TLanes.GreaterInt(magnitude, lastFinite), TLanes.Or(moved, infinity), finite);
            TLanes.Store(TLanes.Or(bits, TLanes.ShiftLeft(TLanes.And(code, signMask), 16)), ref Unsafe.Add(ref to, i));
        }

        for (; i < source.Length; i++)
        {
            values[i] = HalfWidthReference.WidenHalf(source[i]);
        }
    }
}
