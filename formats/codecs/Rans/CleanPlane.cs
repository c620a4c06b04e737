using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Codecs;

/// <summary>
/// The encoder of a byte plane whose lowest bits are almost always zero, as in elements that were widened from a shorter mantissa: only the bits above them, packed, and a list of the bytes that are otherwise. See SPEC.md in this folder.
/// </summary>
internal static unsafe class CleanPlane
{
    /// <summary>Mode of a plane stored so.</summary>
    public const byte Mode = 4;

    /// <summary>Number of zero bits (1 byte), number of exceptions (i32).</summary>
    public const int HeaderBytes = 5;

    /// <summary>Position (i32) and the bits that are not zero (1 byte).</summary>
    public const int ExceptionBytes = 5;

    /// <summary>How a plane is stored.</summary>
    /// <param name="Zeros">Low bits left out, 1 to 8.</param>
    /// <param name="Length">Bytes stored.</param>
    public readonly record struct Choice(int Zeros, int Length);

    private const int SamplePieces = 8;
    private const int EntropyPieces = 64;
    private const int SamplePieceBytes = 512;

    /// <summary>What a Huffman block has besides its codes, about.</summary>
    private const int HuffmanOverhead = 64;

    /// <summary>
    /// How small a plane becomes so, with the number of zero bits that makes it smallest; null if that is more than <paramref name="limit"/> bytes, or so much more than a Huffman block is likely to take that its slower decoding pays.
    /// </summary>
    /// <param name="plane">The plane.</param>
    /// <param name="limit">Most bytes that are worth it.</param>
    /// <param name="slack">By which fraction, 1 / slack, the estimate for a Huffman block may be exceeded.</param>
    public static Choice? Measure(ReadOnlySpan<byte> plane, int limit, int slack)
    {
        if (!plane.ContainsAnyExcept(plane[0]) || !TryFindZeros(plane, out int zeros))
        {
            return null;
        }

        int length = Length(plane.Length, zeros, CountExceptions(plane, zeros));
        if (length == 0 || length > limit)
        {
            return null;
        }

        long huffman = HuffmanEstimate(plane);
        return length <= huffman + (huffman / slack) ? new Choice(zeros, length) : null;
    }

    /// <summary>Stores a plane; false when there is no room.</summary>
    public static bool TryWrite(ReadOnlySpan<byte> plane, Choice choice, Span<byte> destination)
    {
        (int zeros, int length) = choice;
        if (destination.Length < length)
        {
            return false;
        }

        int packed = Packed(plane.Length, zeros);
        destination[0] = (byte)zeros;
        BinaryPrimitives.WriteInt32LittleEndian(destination[1..], (length - HeaderBytes - packed) / ExceptionBytes);
        int at = HeaderBytes + packed;
        int mask = (1 << zeros) - 1;
        for (int start = 0; start < plane.Length; start += 64)
        {
            ReadOnlySpan<byte> piece = plane.Slice(start, Math.Min(64, plane.Length - start));
            if (CountExceptions(piece, zeros) == 0)
            {
                continue;
            }

            for (int i = 0; i < piece.Length; i++)
            {
                if ((piece[i] & mask) != 0)
                {
                    BinaryPrimitives.WriteInt32LittleEndian(destination[at..], start + i);
                    destination[at + 4] = (byte)(piece[i] & mask);
                    at += ExceptionBytes;
                }
            }
        }

        fixed (byte* from = plane)
        fixed (byte* to = destination)
        {
            if (zeros < 8)
            {
                BitPlane.PackUpper(from, plane.Length, 8 - zeros, to + HeaderBytes);
            }
        }

        return at == length;
    }

    /// <summary>Bytes of the packed bits.</summary>
    public static int Packed(int elements, int zeros) => zeros == 8 ? 0 : BitPlane.Bytes(elements, 8 - zeros);

    private static int Length(int elements, int zeros, long exceptions)
    {
        long length = HeaderBytes + Packed(elements, zeros) + (exceptions * ExceptionBytes);
        return length <= int.MaxValue ? (int)length : 0;
    }

    /// <summary>The number of zero bits that makes pieces of the plane smallest.</summary>
    private static bool TryFindZeros(ReadOnlySpan<byte> plane, out int zeros)
    {
        // differs[z]: bytes of which z low bits are not all zero.
        Span<int> differs = stackalloc int[9];
        differs.Clear();
        int sampled = 0;
        int stride = Math.Max(SamplePieceBytes, (plane.Length - SamplePieceBytes) / (SamplePieces - 1));
        for (int at = 0; at < plane.Length; at += stride)
        {
            ReadOnlySpan<byte> piece = plane.Slice(at, Math.Min(SamplePieceBytes, plane.Length - at));
            sampled += piece.Length;
            foreach (byte b in piece)
            {
                differs[b == 0 ? 0 : BitOperations.TrailingZeroCount(b) + 1]++;
            }
        }

        zeros = 0;
        long best = 8L * sampled;
        int exceptions = 0;
        for (int z = 1; z <= 8; z++)
        {
            exceptions += differs[z];
            long bits = ((8L - z) * sampled) + (exceptions * 8L * ExceptionBytes);
            (zeros, best) = bits < best ? (z, bits) : (zeros, best);
        }

        return zeros > 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int CountExceptions(ReadOnlySpan<byte> plane, int zeros)
    {
        var mask = (byte)((1 << zeros) - 1);
        int clean = 0;
        int i = 0;
        fixed (byte* p = plane)
        {
            for (; i <= plane.Length - 64; i += 64)
            {
                clean += BitOperations.PopCount(Vector512.Equals(Vector512.Load(p + i) & Vector512.Create(mask), Vector512<byte>.Zero).ExtractMostSignificantBits());
            }
        }

        for (; i < plane.Length; i++)
        {
            clean += (plane[i] & mask) == 0 ? 1 : 0;
        }

        return plane.Length - clean;
    }

    /// <summary>About the bytes of a Huffman block: the entropy of pieces of the plane, in integers.</summary>
    private static long HuffmanEstimate(ReadOnlySpan<byte> plane)
    {
        Span<uint> counts = stackalloc uint[256];
        counts.Clear();
        int pieces = 0;
        int stride = Math.Max(SamplePieceBytes, plane.Length / EntropyPieces);
        for (int at = 0; at < plane.Length; at += stride)
        {
            ReadOnlySpan<byte> piece = plane.Slice(at, Math.Min(SamplePieceBytes, plane.Length - at));
            ByteHistogram.Add(piece, counts);
            pieces += piece.Length;
        }

        ulong bits = (ulong)pieces * FixedLog2.Of((uint)pieces);
        foreach (uint count in counts)
        {
            bits -= count == 0 ? 0 : (ulong)count * FixedLog2.Of(count);
        }

        // No code is shorter than a bit.
        bits = Math.Max(bits, (ulong)pieces << FixedLog2.FractionBits);
        return (long)((UInt128)bits * (ulong)plane.Length / (ulong)pieces >> (FixedLog2.FractionBits + 3)) + HuffmanOverhead;
    }
}
