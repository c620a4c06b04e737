using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;

namespace ModelPack.Codecs;

/// <summary>The loops of codec <c>bits</c>: bits that are set to gap words and back. Nothing here allocates or fails; the caller has checked all counts.</summary>
internal static class BitsKernel
{
    /// <summary>Writes the gap words of an array of bits: the zeros before every bit that is set.</summary>
    /// <param name="bytes">The array, lowest bit first.</param>
    /// <param name="flip">0, or 0xff to take zeros for ones.</param>
    /// <param name="gaps">Room for all gap words of the low plane, then as many of the high plane if there is one.</param>
    /// <param name="room">Room in words: where the high plane starts.</param>
    /// <param name="wide">Two bytes per word instead of one.</param>
    /// <returns>Number of gap words.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Collect(ReadOnlySpan<byte> bytes, byte flip, Span<byte> gaps, int room, bool wide)
    {
        long most = wide ? ushort.MaxValue : byte.MaxValue;
        int words = 0;
        long next = 0;
        for (int at = 0; at < bytes.Length; at += sizeof(ulong))
        {
            for (ulong word = Word(bytes, at, flip); word != 0; word &= word - 1)
            {
                long bit = (8L * at) + BitOperations.TrailingZeroCount(word);
                Put(bit - next, most, gaps, room, wide, ref words);
                next = bit + 1;
            }
        }

        Put((8L * bytes.Length) - next, most, gaps, room, wide, ref words);
        return words;
    }

    /// <summary>Sets the bits that the gaps say. The bytes are zero already; the gaps add up to their bits, <see cref="SparseKernel.Sum"/> has said so.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Scatter(ReadOnlySpan<byte> low, ReadOnlySpan<byte> high, Span<byte> bytes)
    {
        // The last word ends the last gap, behind which there is no bit: it is left out.
        long at = 0;
        for (int i = 0; i < low.Length - 1; i++)
        {
            int word = high.IsEmpty ? low[i] : low[i] | (high[i] << 8);
            at += word;
            if (word != (high.IsEmpty ? byte.MaxValue : ushort.MaxValue))
            {
                bytes[(int)(at >> 3)] |= (byte)(1 << (int)(at & 7));
                at++;
            }
        }
    }

    /// <summary>Number of bits set.</summary>
    public static long PopCount(ReadOnlySpan<byte> bytes)
    {
        long count = 0;
        for (int at = 0; at < bytes.Length; at += sizeof(ulong))
        {
            count += BitOperations.PopCount(Word(bytes, at, 0));
        }

        return count;
    }

    /// <summary>The reverse of all bits.</summary>
    public static void Flip(Span<byte> bytes)
    {
        for (int i = 0; i < bytes.Length; i++)
        {
            bytes[i] ^= 0xff;
        }
    }

    private static ulong Word(ReadOnlySpan<byte> bytes, int at, byte flip)
    {
        if (bytes.Length - at >= sizeof(ulong))
        {
            ulong word = BinaryPrimitives.ReadUInt64LittleEndian(bytes[at..]);
            return flip == 0 ? word : ~word;
        }

        ulong last = 0;
        for (int i = bytes.Length - 1; i >= at; i--)
        {
            last = (last << 8) | (byte)(bytes[i] ^ flip);
        }

        return last;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(long gap, long most, Span<byte> gaps, int room, bool wide, ref int words)
    {
        for (bool more = true; more; gap -= most)
        {
            more = gap >= most;
            long word = more ? most : gap;
            gaps[words] = (byte)word;
            if (wide)
            {
                gaps[room + words] = (byte)(word >> 8);
            }

            words++;
        }
    }
}
