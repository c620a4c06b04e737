using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>
/// f32 to raw bytes: floats by rounding to nearest even (8-bit and smaller saturate), integers and booleans only when the value is
/// exactly one of theirs. Pure loops: the caller has checked lengths and values.
/// </summary>
internal static class RawEncoder
{
    /// <summary>Index of the first value the type cannot hold, or -1.</summary>
    public static int FirstUnrepresentable(DType dtype, ReadOnlySpan<float> values) => dtype switch
    {
        DType.F4E2M1 or DType.F6E2M3 or DType.F6E3M2 => FirstNan(values),
        DType.F8E8M0 => FirstNegative(values),
        DType.Bool => FirstOutside(values, 0, 1),
        _ when dtype.IsInteger() => FirstOutside(values, Minimum(dtype), Maximum(dtype)),
        _ => -1,
    };

    /// <summary>Encodes all values; sub-byte types start at bit 0 of the first byte and leave zeros behind the last element.</summary>
    public static void Encode(DType dtype, ReadOnlySpan<float> values, Span<byte> bytes)
    {
        switch (dtype)
        {
            case DType.F32:
                MemoryMarshal.AsBytes(values).CopyTo(bytes);
                break;
            case DType.BF16:
                WideFloatKernels.NarrowBf16(values, MemoryMarshal.Cast<byte, ushort>(bytes));
                break;
            case DType.F16:
                WideFloatKernels.NarrowHalf(values, MemoryMarshal.Cast<byte, ushort>(bytes));
                break;
            case DType.F64:
                for (int i = 0; i < values.Length; i++)
                {
                    BinaryPrimitives.WriteDoubleLittleEndian(bytes[(i * 8)..], values[i]);
                }

                break;
            case DType.F8E4M3FN:
                WideFloatKernels.EncodeBytes(values, SmallFloatFormat.E4M3Fn, bytes);
                break;
            case DType.F8E4M3FNUZ:
                WideFloatKernels.EncodeBytes(values, SmallFloatFormat.E4M3Fnuz, bytes);
                break;
            case DType.F8E5M2:
                WideFloatKernels.EncodeBytes(values, SmallFloatFormat.E5M2, bytes);
                break;
            case DType.F8E5M2FNUZ:
                WideFloatKernels.EncodeBytes(values, SmallFloatFormat.E5M2Fnuz, bytes);
                break;
            case DType.F8E8M0:
                for (int i = 0; i < values.Length; i++)
                {
                    bytes[i] = E8M0.Encode(values[i], E8M0.Rounding.Nearest);
                }

                break;
            case DType.F6E2M3:
                PackFloats(values, SmallFloatFormat.E2M3, bytes);
                break;
            case DType.F6E3M2:
                PackFloats(values, SmallFloatFormat.E3M2, bytes);
                break;
            case DType.F4E2M1:
                PackFloats(values, SmallFloatFormat.E2M1, bytes);
                break;
            case DType.I64:
                Integers<long>(values, bytes);
                break;
            case DType.U64:
                Integers<ulong>(values, bytes);
                break;
            case DType.I32:
                Integers<int>(values, bytes);
                break;
            case DType.U32:
                Integers<uint>(values, bytes);
                break;
            case DType.I16:
                Integers<short>(values, bytes);
                break;
            case DType.U16:
                Integers<ushort>(values, bytes);
                break;
            case DType.I8:
                Integers<sbyte>(values, bytes);
                break;
            case DType.U8 or DType.Bool:
                Integers<byte>(values, bytes);
                break;
            default:
                PackIntegers(values, dtype.BitsPerElement(), bytes);
                break;
        }
    }

    private static double Minimum(DType dtype) =>
        dtype is DType.U64 or DType.U32 or DType.U16 or DType.U8 or DType.U4 or DType.U2 ? 0 : -Math.ScaleB(1, dtype.BitsPerElement() - 1);

    /// <summary>The largest f32 not above the type's largest value.</summary>
    private static double Maximum(DType dtype)
    {
        int bits = Minimum(dtype) == 0 ? dtype.BitsPerElement() : dtype.BitsPerElement() - 1;
        return bits <= 24 ? Math.ScaleB(1, bits) - 1 : Math.BitDecrement((float)Math.ScaleB(1, bits));
    }

    private static int FirstOutside(ReadOnlySpan<float> values, double min, double max)
    {
        for (int i = 0; i < values.Length; i++)
        {
            if (!(values[i] >= min && values[i] <= max && MathF.Truncate(values[i]) == values[i]))
            {
                return i;
            }
        }

        return -1;
    }

    private static int FirstNan(ReadOnlySpan<float> values)
    {
        for (int i = 0; i < values.Length; i++)
        {
            if (float.IsNaN(values[i]))
            {
                return i;
            }
        }

        return -1;
    }

    private static int FirstNegative(ReadOnlySpan<float> values)
    {
        for (int i = 0; i < values.Length; i++)
        {
            if (values[i] < 0)
            {
                return i;
            }
        }

        return -1;
    }

    private static void Integers<T>(ReadOnlySpan<float> values, Span<byte> bytes)
        where T : unmanaged, System.Numerics.INumberBase<T>
    {
        Span<T> destination = MemoryMarshal.Cast<byte, T>(bytes);
        for (int i = 0; i < values.Length; i++)
        {
            destination[i] = T.CreateTruncating(values[i]);
        }
    }

    private static void PackIntegers(ReadOnlySpan<float> values, int bits, Span<byte> bytes)
    {
        bytes.Clear();
        int mask = (1 << bits) - 1;
        for (int i = 0; i < values.Length; i++)
        {
            long position = (long)i * bits;
            bytes[(int)(position >> 3)] |= (byte)(((int)values[i] & mask) << (int)(position & 7));
        }
    }

    private static void PackFloats(ReadOnlySpan<float> values, SmallFloatFormat format, Span<byte> bytes)
    {
        bytes.Clear();
        for (int i = 0; i < values.Length; i++)
        {
            long position = (long)i * format.Bits;
            int at = (int)(position >> 3);
            int window = SmallFloatReference.Encode(values[i], format) << (int)(position & 7);
            bytes[at] |= (byte)window;
            if (window > 255)
            {
                bytes[at + 1] |= (byte)(window >> 8);
            }
        }
    }
}
