using System.Buffers;

namespace ModelPack.Toolchain;

/// <summary>A size to measure codecs by: the least that a static model with 16 classes of blocks needs.</summary>
internal static class StaticBound
{
    /// <summary>
    /// Bytes of one tensor in a static model. Charged are: the exponent (8-bit integers: the whole value) at the entropy of its class, the best of 1, 2, 4, 8 or 16 classes of blocks of 256; the labels of the
    /// blocks at their entropy; a byte for every symbol of every table; sign and mantissa as they are. Not charged are headers, rounding of frequencies, and the ends of streams, which every real codec pays.
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
        for (int i = 0; i < elements; i++)
        {
            symbols[i] = (ushort)((Word(tensor, i, width) >> rest) & ((1UL << (exponent + joined)) - 1));
        }

        double bits = BlockClasses.Bits(symbols.AsSpan(0, elements), 1 << (exponent + joined))
            + ((double)(rest + signBits) * elements)
            + (8.0 * (tensor.Length - ((long)elements * width)));
        ArrayPool<ushort>.Shared.Return(symbols);
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
}
