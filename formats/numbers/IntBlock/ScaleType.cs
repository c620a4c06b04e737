using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>Element type of a stream of block scales, with the rounding used when a scale is chosen.</summary>
internal static class ScaleType
{
    /// <summary>Stored bytes of one scale.</summary>
    public static int Bytes(DType type) => type == DType.F32 ? 4 : 2;

    /// <summary>
    /// Rounds a positive scale to <paramref name="type"/> and back: nearest even, at least the smallest positive value, at most the largest finite one.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Round(float scale, DType type) => type == DType.F32
        ? (scale == 0 ? float.Epsilon : Math.Min(scale, float.MaxValue))
        : RoundTo16(scale, type);

    /// <summary>The next smaller number of the type; the scale is one, and not the smallest.</summary>
    public static float Below(float scale, DType type) => type switch
    {
        DType.F32 => MathF.BitDecrement(scale),
        DType.BF16 => HalfWidthReference.WidenBf16((ushort)(HalfWidthReference.NarrowBf16(scale) - 1)),
        _ => HalfWidthReference.WidenHalf((ushort)(SmallFloatReference.Encode(scale, SmallFloatFormat.Half) - 1)),
    };

    private static float RoundTo16(float scale, DType type)
    {
        switch (type)
        {
            case DType.BF16:
                return HalfWidthReference.WidenBf16(Math.Clamp(HalfWidthReference.NarrowBf16(scale), (ushort)1, (ushort)0x7F7F));
            default:
                return HalfWidthReference.WidenHalf((ushort)Math.Clamp(SmallFloatReference.Encode(scale, SmallFloatFormat.Half), 1, 0x7BFF));
        }
    }

    /// <summary>Stores a scale that <see cref="Round"/> returned.</summary>
    public static void Write(float scale, DType type, Span<byte> scales, int index)
    {
        switch (type)
        {
            case DType.F32:
                BitConverter.TryWriteBytes(scales[(index * 4)..], scale);
                break;
            case DType.BF16:
                BitConverter.TryWriteBytes(scales[(index * 2)..], HalfWidthReference.NarrowBf16(scale));
                break;
            default:
                BitConverter.TryWriteBytes(scales[(index * 2)..], (ushort)SmallFloatReference.Encode(scale, SmallFloatFormat.Half));
                break;
        }
    }

    public static float Read(ReadOnlySpan<byte> scales, int index, DType type) => type switch
    {
        DType.F32 => BitConverter.ToSingle(scales[(index * 4)..]),
        DType.BF16 => HalfWidthReference.WidenBf16(BitConverter.ToUInt16(scales[(index * 2)..])),
        _ => HalfWidthReference.WidenHalf(BitConverter.ToUInt16(scales[(index * 2)..])),
    };

    /// <summary>Index of the first NaN or infinity, or -1.</summary>
    public static int FirstNotFinite(ReadOnlySpan<byte> scales, DType type)
    {
        if (type == DType.F32)
        {
            return FiniteCheck.FirstNotFinite(MemoryMarshal.Cast<byte, float>(scales));
        }

        // Not finite: all bits of the exponent set.
        ReadOnlySpan<ushort> words = MemoryMarshal.Cast<byte, ushort>(scales);
        ushort exponent = type == DType.BF16 ? (ushort)0x7F80 : (ushort)0x7C00;
        int i = 0;
        if (Vector128.IsHardwareAccelerated)
        {
            Vector128<ushort> mask = Vector128.Create(exponent);
            while (i + 8 <= words.Length && !Vector128.EqualsAny(Vector128.Create(words[i..]) & mask, mask))
            {
                i += 8;
            }
        }

        while (i < words.Length && (words[i] & exponent) != exponent)
        {
            i++;
        }

        return i < words.Length ? i : -1;
    }

    /// <summary>Reads consecutive scales.</summary>
    public static void Read(ReadOnlySpan<byte> scales, DType type, Span<float> values, SimdTier tier)
    {
        switch (type)
        {
            case DType.F32:
                scales[..(values.Length * sizeof(float))].CopyTo(MemoryMarshal.AsBytes(values));
                break;
            case DType.BF16:
                WideFloatKernels.WidenBf16(MemoryMarshal.Cast<byte, ushort>(scales)[..values.Length], values, tier);
                break;
            default:
                WideFloatKernels.WidenHalf(MemoryMarshal.Cast<byte, ushort>(scales)[..values.Length], values, tier);
                break;
        }
    }
}
