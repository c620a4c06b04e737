using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>
/// f32 to small floats, 16 values at a time. Per lane this is <see cref="SmallFloatReference.Encode"/> with both branches computed and
/// selected. A remainder below 16 runs through the reference.
/// </summary>
internal static class SmallFloatKernel<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    /// <summary>One byte per code, for formats of up to 8 bits.</summary>
    public static void EncodeToBytes(ReadOnlySpan<float> values, SmallFloatFormat f, Span<byte> codes)
    {
        var constants = new Constants(f);
        ref float source = ref MemoryMarshal.GetReference(values);
        int i = 0;
        for (; i + 16 <= values.Length; i += 16)
        {
            TLanes lanes = Encode(TLanes.Load(ref Unsafe.Add(ref source, i)), f, constants);
            MemoryMarshal.Write(codes.Slice(i, 16), TLanes.LowBytes(lanes));
        }

        for (; i < values.Length; i++)
        {
            codes[i] = (byte)SmallFloatReference.Encode(values[i], f);
        }
    }

    /// <summary>Two bytes per code.</summary>
    public static void EncodeToWords(ReadOnlySpan<float> values, SmallFloatFormat f, Span<ushort> codes)
    {
        var constants = new Constants(f);
        ref float source = ref MemoryMarshal.GetReference(values);
        int i = 0;
        for (; i + 16 <= values.Length; i += 16)
        {
            TLanes lanes = Encode(TLanes.Load(ref Unsafe.Add(ref source, i)), f, constants);
            TLanes.StoreU16(lanes, ref codes.Slice(i, 16)[0]);
        }

        for (; i < values.Length; i++)
        {
            codes[i] = (ushort)SmallFloatReference.Encode(values[i], f);
        }
    }

    /// <summary>Codes of 16 values.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Encode(TLanes bits, SmallFloatFormat f, in Constants c)
    {
        int shift = 23 - f.MantissaBits;
        TLanes magnitude = TLanes.And(bits, c.MagnitudeMask);
        TLanes odd = TLanes.And(TLanes.ShiftRight(magnitude, shift), c.One);
        TLanes rounded = TLanes.AddInt(TLanes.AddInt(magnitude, c.HalfMinusOne), odd);
        TLanes normal = TLanes.SubtractInt(TLanes.ShiftRight(rounded, shift), c.Rebias);
        TLanes code = TLanes.Select(TLanes.GreaterInt(normal, c.Max), c.Overflow, normal);
        TLanes subnormal = TLanes.SubtractInt(TLanes.Add(magnitude, c.Magic), c.Magic);
        code = TLanes.Select(TLanes.GreaterInt(c.MinNormal, magnitude), subnormal, code);
        code = TLanes.Select(TLanes.GreaterInt(magnitude, c.Infinity), c.Nan, code);
        TLanes sign = TLanes.ShiftLeft(TLanes.ShiftRight(bits, 31), f.Bits - 1);
        if (!f.HasNegativeZero)
        {
            sign = TLanes.And(sign, TLanes.GreaterInt(code, default));
        }

        return TLanes.Or(code, sign);
    }

    /// <summary>What encoding into a format needs in every lane.</summary>
    public readonly struct Constants(SmallFloatFormat f)
    {
        public readonly TLanes MagnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        public readonly TLanes One = TLanes.CreateInt(1);
        public readonly TLanes HalfMinusOne = TLanes.CreateInt((1 << (22 - f.MantissaBits)) - 1);
        public readonly TLanes Rebias = TLanes.CreateInt(f.Rebias);
        public readonly TLanes Max = TLanes.CreateInt(f.MaxCode);
        public readonly TLanes Overflow = TLanes.CreateInt(f.OverflowCode);
        public readonly TLanes Magic = TLanes.CreateInt(f.SubnormalMagicBits);
        public readonly TLanes MinNormal = TLanes.CreateInt(f.MinNormalBits);
        public readonly TLanes Infinity = TLanes.CreateInt(0x7F800000);
        public readonly TLanes Nan = TLanes.CreateInt(f.NanCode);
    }
}
