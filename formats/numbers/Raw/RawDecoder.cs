using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>Raw bytes of any real dtype to f32. Pure loops: the caller has checked lengths.</summary>
internal static class RawDecoder
{
    private static readonly float[] E4M3Fn = SmallFloatReference.DecodeTable(SmallFloatFormat.E4M3Fn);
    private static readonly float[] E4M3Fnuz = SmallFloatReference.DecodeTable(SmallFloatFormat.E4M3Fnuz);
    private static readonly float[] E5M2 = SmallFloatReference.DecodeTable(SmallFloatFormat.E5M2);
    private static readonly float[] E5M2Fnuz = SmallFloatReference.DecodeTable(SmallFloatFormat.E5M2Fnuz);
    private static readonly float[] E2M3 = SmallFloatReference.DecodeTable(SmallFloatFormat.E2M3);
    private static readonly float[] E3M2 = SmallFloatReference.DecodeTable(SmallFloatFormat.E3M2);
    private static readonly float[] E2M1 = SmallFloatReference.DecodeTable(SmallFloatFormat.E2M1);
    private static readonly float[] PowersOfTwo = Table(256, c => E8M0.Decode((byte)c));
    private static readonly float[] Signed4 = Table(16, c => (c ^ 8) - 8);
    private static readonly float[] Signed2 = [0, 1, -2, -1];
    private static readonly float[] Unsigned4 = Table(16, c => c);
    private static readonly float[] Unsigned2 = [0, 1, 2, 3];

    private static float[] Table(int codes, Func<int, float> value)
    {
        float[] table = new float[codes];
        for (int c = 0; c < codes; c++)
        {
            table[c] = value(c);
        }

        return table;
    }

    /// <summary>True when elements have a value on the real line.</summary>
    public static bool IsReal(DType dtype) => dtype is not (DType.Undefined or DType.C64 or DType.C128 or DType.String);

    /// <summary>The values of all codes of a type of at most 8 bits that is decoded by table, else null.</summary>
    internal static float[]? Table(DType dtype) => dtype switch
    {
        DType.F8E4M3FN => E4M3Fn,
        DType.F8E4M3FNUZ => E4M3Fnuz,
        DType.F8E5M2 => E5M2,
        DType.F8E5M2FNUZ => E5M2Fnuz,
        DType.F8E8M0 => PowersOfTwo,
        DType.F6E2M3 => E2M3,
        DType.F6E3M2 => E3M2,
        DType.F4E2M1 => E2M1,
        DType.I4 => Signed4,
        DType.I2 => Signed2,
        DType.U4 => Unsigned4,
        DType.U2 => Unsigned2,
        _ => null,
    };

    private static readonly ByteTable E4M3FnBytes = new(E4M3Fn);
    private static readonly ByteTable E4M3FnuzBytes = new(E4M3Fnuz);
    private static readonly ByteTable E5M2Bytes = new(E5M2);
    private static readonly ByteTable E5M2FnuzBytes = new(E5M2Fnuz);
    private static readonly ByteTable PowerBytes = new(PowersOfTwo);
    private static readonly ByteTable Signed8 = new(Table(256, c => (sbyte)c));
    private static readonly ByteTable Unsigned8 = new(Table(256, c => c));
    private static readonly ByteTable Booleans = new(Table(256, c => c != 0 ? 1f : 0f));

    /// <summary>The decoder of a type of one byte, else null.</summary>
    internal static ByteTable? Bytes(DType dtype) => dtype switch
    {
        DType.F8E4M3FN => E4M3FnBytes,
        DType.F8E4M3FNUZ => E4M3FnuzBytes,
        DType.F8E5M2 => E5M2Bytes,
        DType.F8E5M2FNUZ => E5M2FnuzBytes,
        DType.F8E8M0 => PowerBytes,
        DType.I8 => Signed8,
        DType.U8 => Unsigned8,
        DType.Bool => Booleans,
        _ => null,
    };

    /// <summary>Decodes <paramref name="values"/>.Length elements.</summary>
    /// <param name="dtype">A real dtype.</param>
    /// <param name="bytes">The elements, little-endian; sub-byte elements lowest bits first.</param>
    /// <param name="firstBit">Sub-byte types: where in the first byte the first element starts. Otherwise 0.</param>
    /// <param name="values">Destination. f64 and 64-bit integers are rounded to the nearest f32, ties to even; booleans give 0 or 1.</param>
    public static void Decode(DType dtype, ReadOnlySpan<byte> bytes, int firstBit, Span<float> values)
    {
        switch (dtype)
        {
            case DType.F32:
                bytes.CopyTo(MemoryMarshal.AsBytes(values));
                break;
            case DType.BF16:
                WideFloatKernels.WidenBf16(MemoryMarshal.Cast<byte, ushort>(bytes), values);
                break;
            case DType.F16:
                WideFloatKernels.WidenHalf(MemoryMarshal.Cast<byte, ushort>(bytes), values);
                break;
            case DType.F64:
                for (int i = 0; i < values.Length; i++)
                {
                    values[i] = (float)BinaryPrimitives.ReadDoubleLittleEndian(bytes[(i * 8)..]);
                }

                break;
            case DType.I64:
                Convert<long>(bytes, values);
                break;
            case DType.U64:
                Convert<ulong>(bytes, values);
                break;
            case DType.I32:
                Convert<int>(bytes, values);
                break;
            case DType.U32:
                Convert<uint>(bytes, values);
                break;
            case DType.I16:
                Convert<short>(bytes, values);
                break;
            case DType.U16:
                Convert<ushort>(bytes, values);
                break;
            case DType.F8E4M3FN or DType.F8E4M3FNUZ or DType.F8E5M2 or DType.F8E5M2FNUZ or DType.F8E8M0 or DType.I8 or DType.U8 or DType.Bool:
                Bytes(dtype)!.Decode(bytes, values, SimdTiers.Current);
                break;
            default:
                Lookup(Table(dtype)!, dtype.BitsPerElement(), bytes, firstBit, values);
                break;
        }
    }

    private static void Convert<T>(ReadOnlySpan<byte> bytes, Span<float> values)
        where T : unmanaged, System.Numerics.INumberBase<T>
    {
        ReadOnlySpan<T> source = MemoryMarshal.Cast<byte, T>(bytes);
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = float.CreateChecked(source[i]);
        }
    }

    private static void Lookup(float[] table, int bits, ReadOnlySpan<byte> bytes, int firstBit, Span<float> values)
    {
        long position = firstBit;
        int mask = (1 << bits) - 1;
        for (int i = 0; i < values.Length; i++, position += bits)
        {
            int at = (int)(position >> 3);
            int offset = (int)(position & 7);
            int window = bytes[at] | (offset + bits > 8 ? bytes[at + 1] << 8 : 0);
            values[i] = table[(window >> offset) & mask];
        }
    }
}
