using System.Buffers;

namespace ModelPack.Toolchain;

/// <summary>A size to measure codecs by: the least that a static model with 16 classes of blocks needs.</summary>
internal static class StaticBound
{
    /// <summary>
    /// Bytes of one tensor in a static model: exponents (8-bit integers: whole values) at the entropy of the best of 1 to 16 classes per block of 256, class labels at their entropy, a byte per symbol of each table;
    /// all other bits at their order-0 entropy or raw.
    /// </summary>
    /// <param name="tensor">The bytes of the tensor, little-endian.</param>
    /// <param name="type">What they are.</param>
    /// <param name="topMantissaBit">The exponent together with the first bit of the mantissa.</param>
    public static double Bytes(ReadOnlySpan<byte> tensor, DType type, bool topMantissaBit = false)
    {
        (int width, int exponent, int mantissa) = type switch
        {
            DType.BF16 => (2, 8, 7),
            DType.F16 => (2, 5, 10),
            DType.F32 => (4, 8, 23),
            DType.F64 => (8, 11, 52),
            DType.F8E4M3FN or DType.F8E4M3FNUZ => (1, 4, 3),
            DType.F8E5M2 or DType.F8E5M2FNUZ => (1, 5, 2),
            _ when type.BitsPerElement() <= 8 => (1, 8, 0),
            _ => (0, 0, 0),
        };
        int elements = width == 0 ? 0 : tensor.Length / width;
        if (elements == 0)
        {
            return tensor.Length;
        }

        int joined = topMantissaBit ? Math.Min(1, mantissa) : 0;
        int rest = mantissa - joined;
        int signBits = mantissa == 0 ? 0 : 1;
        ushort[] symbols = ArrayPool<ushort>.Shared.Rent(elements);
        byte[] plane = ArrayPool<byte>.Shared.Rent(elements);
        double bits = 8.0 * (tensor.Length - ((long)elements * width));
        for (int i = 0; i < elements; i++)
        {
            symbols[i] = (ushort)((Word(tensor, i, width) >> rest) & ((1UL << (exponent + joined)) - 1));
        }

        bits += BlockClasses.Bits(symbols.AsSpan(0, elements), 1 << (exponent + joined));

        // Sign and the other bits of the mantissa, in bytes from below.
        for (int low = 0; low < rest + signBits; low += 8)
        {
            int count = Math.Min(8, rest + signBits - low);
            for (int i = 0; i < elements; i++)
            {
                ulong word = Word(tensor, i, width);
                ulong sign = word >> ((8 * width) - 1);
                plane[i] = (byte)((((word & ((1UL << rest) - 1)) | (sign << rest)) >> low) & ((1UL << count) - 1));
            }

            bits += Math.Min((double)count * elements, OrderZeroBits(plane.AsSpan(0, elements)));
        }

        ArrayPool<ushort>.Shared.Return(symbols);
        ArrayPool<byte>.Shared.Return(plane);
        return Math.Min(tensor.Length, bits / 8);
    }

    private static ulong Word(ReadOnlySpan<byte> tensor, int element, int width)
    {
        ulong word = 0;
        for (int b = 0; b < width; b++)
        {
            word |= (ulong)tensor[(element * width) + b] << (8 * b);
        }

        return word;
    }

    private static double OrderZeroBits(ReadOnlySpan<byte> plane)
    {
        Span<uint> counts = stackalloc uint[256];
        counts.Clear();
        foreach (byte b in plane)
        {
            counts[b]++;
        }

        double bits = 0;
        foreach (uint count in counts)
        {
            bits += count == 0 ? 0 : 8 + (count * Math.Log2((double)plane.Length / count));
        }

        return bits;
    }
}
