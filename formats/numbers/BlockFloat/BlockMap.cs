using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>How the values of a block become element values: times a power of two, or divided by a scale.</summary>
/// <param name="Value">What values are multiplied with, or divided by.</param>
/// <param name="Divides">True to divide.</param>
internal readonly record struct BlockMap(float Value, bool Divides)
{
    private const int Infinity = 0x7F800000;

    private static readonly float[] Powers = [.. Enumerable.Range(0, 256).Select(c => E8M0.Decode((byte)c))];

    /// <summary>Chooses the scale of a block and stores it. False for a NaN or infinity that the scale type cannot express.</summary>
    /// <param name="amaxBits">f32 bits of the largest magnitude; above 0x7F7FFFFF when a value is NaN or infinite.</param>
    /// <param name="layout">The format.</param>
    /// <param name="scales">Scales of the row.</param>
    /// <param name="index">Which one.</param>
    /// <param name="map">The map; a multiplication with 0 for blocks that are NaN.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Choose(int amaxBits, in BlockFloatLayout layout, Span<byte> scales, int index, out BlockMap map)
    {
        if (layout.Scale == BlockScaleType.E8M0)
        {
            int code = PowerCode(amaxBits, layout);
            scales[index] = (byte)code;
            map = new BlockMap(code == 255 ? 0f : E8M0.Decode((byte)(254 - code)), false);
            return true;
        }

        return ChooseDivisor(amaxBits, layout, scales, index, out map);
    }

    /// <summary>The map of a scale.</summary>
    /// <param name="scale">A value of the scale type.</param>
    /// <param name="type">Powers of two are divided by as products.</param>
    public static BlockMap Of(float scale, BlockScaleType type) => type == BlockScaleType.E8M0 ? new BlockMap(1 / scale, false) : new BlockMap(scale, true);

    /// <summary>The stored scale.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Read(ReadOnlySpan<byte> scales, int index, BlockScaleType type) => type switch
    {
        BlockScaleType.E8M0 => E8M0.Decode(scales[index]),
        BlockScaleType.None => 1f,
        BlockScaleType.E4M3 => ElementFormat.E4M3.Values[scales[index]],
        BlockScaleType.F16 => ScaleType.Read(scales, index, DType.F16),
        BlockScaleType.BF16 => ScaleType.Read(scales, index, DType.BF16),
        _ => ScaleType.Read(scales, index, DType.F32),
    };

    /// <summary>Consecutive stored scales.</summary>
    public static void Read<TLanes>(ReadOnlySpan<byte> scales, int first, BlockScaleType type, Span<float> values)
        where TLanes : struct, ILanes16<TLanes>
    {
        switch (type)
        {
            case BlockScaleType.None:
                values.Fill(1f);
                break;
            case BlockScaleType.E8M0 or BlockScaleType.E4M3:
                ReadOnlySpan<float> table = type == BlockScaleType.E8M0 ? Powers : ElementFormat.E4M3.Values;
                ReadOnlySpan<byte> codes = scales.Slice(first, values.Length);
                for (int i = 0; i < codes.Length; i++)
                {
                    values[i] = table[codes[i]];
                }

                break;
            case BlockScaleType.F16:
                HalfWidthKernel<TLanes>.WidenHalf(MemoryMarshal.Cast<byte, ushort>(scales).Slice(first, values.Length), values);
                break;
            case BlockScaleType.BF16:
                HalfWidthKernel<TLanes>.WidenBf16(MemoryMarshal.Cast<byte, ushort>(scales).Slice(first, values.Length), values);
                break;
            default:
                MemoryMarshal.Cast<byte, float>(scales).Slice(first, values.Length).CopyTo(values);
                break;
        }
    }

    /// <summary>The E8M0 code: 255 for NaN and infinity, 0 for zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int PowerCode(int amaxBits, in BlockFloatLayout layout)
    {
        if (amaxBits >= Infinity || amaxBits == 0)
        {
            return amaxBits == 0 ? 0 : 255;
        }

        int exponent = layout.Mode == ScaleMode.Floor ? FloorLog2(amaxBits) - layout.Element.Emax : Exponent(amaxBits, layout);
        return Math.Clamp(exponent, -127, 127) + 127;
    }

    private static int Exponent(int amaxBits, in BlockFloatLayout layout)
    {
        ElementFormat element = layout.Element;
        switch (layout.Mode)
        {
            case ScaleMode.Ceil:
                return FloorLog2(amaxBits - 1) + 1 - element.Emax;
            case ScaleMode.Rceil:
                float quotient = BitConverter.Int32BitsToSingle(amaxBits) * (1f / element.Max);
                return E8M0.Encode(quotient, E8M0.Rounding.Up) - 127;
            default:
                int half = 1 << (22 - element.Precision);
                return FloorLog2((amaxBits + half) & -(2 * half)) - element.Emax;
        }
    }

    /// <summary>floor(log2 x) of a non-negative f32 by its bits, infinity counting as 2^128 and 0 as less than anything.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int FloorLog2(int bits) => bits >= 0x800000 ? (bits >> 23) - 127 : -118 - BitOperations.LeadingZeroCount((uint)bits);

    private static bool ChooseDivisor(int amaxBits, in BlockFloatLayout layout, Span<byte> scales, int index, out BlockMap map)
    {
        map = new BlockMap(1f, true);
        if (amaxBits >= Infinity)
        {
            return false;
        }

        if (layout.Given is BlockMap given)
        {
            map = given;
            return true;
        }

        float scale = amaxBits == 0 ? 1f : BitConverter.Int32BitsToSingle(amaxBits) / layout.Element.Max;
        switch (layout.Scale)
        {
            case BlockScaleType.None:
                return true;
            case BlockScaleType.E4M3:
                int code = Math.Clamp(SmallFloatReference.Encode(scale, SmallFloatFormat.E4M3Fn), 1, 0x7E);
                scales[index] = (byte)code;
                map = new BlockMap(ElementFormat.E4M3.Values[code], true);
                return true;
            default:
                DType type = layout.Scale switch
                {
                    BlockScaleType.F16 => DType.F16,
                    BlockScaleType.BF16 => DType.BF16,
                    _ => DType.F32,
                };
                map = new BlockMap(ScaleType.Round(scale, type), true);
                ScaleType.Write(map.Value, type, scales, index);
                return true;
        }
    }
}
