using System.Runtime.CompilerServices;

namespace ModelPack.Codecs;

/// <summary>
/// The binding that stores one run of bytes, a plane or a whole chunk, in the smallest of three ways: one value, a Huffman block, the bytes themselves.
/// </summary>
internal static class HuffmanPlane
{
    public const byte Raw = 0;
    public const byte Huffman = 1;
    public const byte Constant = 2;

    private const int ProbePieces = 8;
    private const int ProbePieceBytes = 512;

    /// <summary>Stores a plane as one value or a Huffman block if that makes it at most <paramref name="limit"/> bytes long.</summary>
    /// <param name="plane">At least one byte.</param>
    /// <param name="limit">Most bytes that are worth it.</param>
    /// <param name="probe">The plane is likely to be noise: look at pieces of it first.</param>
    /// <param name="destination">Where to.</param>
    /// <param name="mode">How it was stored: <see cref="Huffman"/> or <see cref="Constant"/>.</param>
    /// <param name="written">Bytes written.</param>
    /// <param name="bits">Bits of a value that may be set.</param>
    public static bool TryEncode(ReadOnlySpan<byte> plane, int limit, bool probe, Span<byte> destination, out byte mode, out int written, int bits = 8)
    {
        mode = Constant;
        written = 0;
        if (destination.IsEmpty || limit < 1)
        {
            return false;
        }

        if (plane.IndexOfAnyExcept(plane[0]) < 0)
        {
            destination[0] = plane[0];
            written = 1;
            return true;
        }

        mode = Huffman;
        return !(probe && IsNoise(plane, limit, bits)) && HuffmanBlock.TryEncode(plane, limit, destination, out written);
    }

    /// <summary>As <see cref="TryEncode"/>, or the bytes themselves where that is not worth it; false when there is no room.</summary>
    public static bool TryStore(ReadOnlySpan<byte> plane, int limit, bool probe, Span<byte> destination, out byte mode, out int written)
    {
        if (TryEncode(plane, limit, probe, destination, out mode, out written))
        {
            return true;
        }

        (mode, written) = (Raw, plane.Length);
        return plane.TryCopyTo(destination);
    }

    /// <summary>Restores a plane of known length.</summary>
    public static bool TryDecode(byte mode, ReadOnlySpan<byte> stored, Span<byte> plane)
    {
        switch (mode)
        {
            case Raw when stored.Length == plane.Length:
                stored.CopyTo(plane);
                return true;
            case Huffman:
                return HuffmanBlock.TryDecode(stored, plane);
            case Constant when stored.Length == 1:
                plane.Fill(stored[0]);
                return true;
            default:
                return false;
        }
    }

    /// <summary>
    /// True when a few pieces show that the bytes are too evenly spread to shrink to the limit: the collision entropy, -log2 of the sum of squared probabilities, is never above
    /// Shannon's, which no code beats. Pairs of different bytes are counted, which gives the sum of squares without bias.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool IsNoise(ReadOnlySpan<byte> plane, int limit, int bits)
    {
        const int probe = ProbePieces * ProbePieceBytes;
        if (plane.Length < 2 * probe)
        {
            return false;
        }

        Span<uint> counts = stackalloc uint[HuffmanCode.Symbols];
        counts.Clear();
        int stride = (plane.Length - ProbePieceBytes) / (ProbePieces - 1);
        for (int i = 0; i < ProbePieces; i++)
        {
            ByteHistogram.Add(plane.Slice(i * stride, ProbePieceBytes), counts);
        }

        long equal = 0;
        foreach (uint count in counts)
        {
            equal += (long)count * (count - 1L);
        }

        // Of uniform values every 2^bits-th pair is equal. To shrink by the fraction f of a byte each, 2^bits times the share of equal pairs, 2^(bits - H2), must be at least 2^(8f) >= 1 + 8f ln 2 > 1 + 5.5f.
        long pairs = ((long)probe * (probe - 1)) >> bits;
        long gain = (plane.Length * (long)bits / 8) - limit;
        return equal < pairs + (pairs * 11 * gain / (2L * plane.Length));
    }
}
