using System.Buffers.Binary;
using System.Numerics;

namespace ModelPack.Codecs;

/// <summary>
/// The arithmetic of codec <c>ranks</c>: a group of bits of which k are set is the number of such groups before it, in the combinatorial number system; the numbers of some groups make one word of at most 128 bits.
/// </summary>
internal readonly struct RanksKernel
{
    private const int MaxGroup = 64;

    // Choose[i][p]: ways to choose i of p, for i up to 64; those that do not fit in 64 bits are never needed and stay at the limit.
    private static readonly ulong[][] Choose = Build();

    private readonly int _kept;

    /// <param name="group">Bits of a group: 16, 32 or 64.</param>
    /// <param name="kept">Bits set in each, 1 to <paramref name="group"/> - 1.</param>
    public RanksKernel(int group, int kept)
    {
        _kept = kept;
        Ways = Choose[kept][group];

        // The number of groups per word that wastes the least part of a bit.
        (GroupsPerWord, WordBits) = (1, BitsOf(Ways - 1));
        UInt128 product = Ways;
        for (int groups = 2; product <= UInt128.MaxValue / Ways; groups++)
        {
            product *= Ways;
            int bits = BitsOf(product - 1);
            if ((long)bits * GroupsPerWord < (long)WordBits * groups)
            {
                (GroupsPerWord, WordBits) = (groups, bits);
            }
        }
    }

    /// <summary>Groups there are.</summary>
    public ulong Ways { get; }

    /// <summary>Groups whose numbers make one word.</summary>
    public int GroupsPerWord { get; }

    /// <summary>Bits of a word.</summary>
    public int WordBits { get; }

    /// <summary>Number of a group: the sum of the ways to choose i of p for the place p of its i-th bit.</summary>
    public static ulong Rank(ulong bits)
    {
        ulong rank = 0;
        for (int i = 1; bits != 0; bits &= bits - 1, i++)
        {
            rank += Choose[i][BitOperations.TrailingZeroCount(bits)];
        }

        return rank;
    }

    /// <summary>The group of a number below <see cref="Ways"/>.</summary>
    public ulong Group(ulong rank)
    {
        ulong bits = 0;
        int place = MaxGroup - 1;
        for (int i = _kept; i > 0; i--, place--)
        {
            ulong[] ways = Choose[i];
            while (ways[place] > rank)
            {
                place--;
            }

            rank -= ways[place];
            bits |= 1UL << place;
        }

        return bits;
    }

    /// <summary>Reads <paramref name="count"/> bits at a bit position, lowest first; zeros past the end.</summary>
    public static UInt128 ReadBits(ReadOnlySpan<byte> bytes, long position, int count)
    {
        int at = (int)(position >> 3);
        int shift = (int)(position & 7);
        UInt128 word = 0;
        if (bytes.Length - at >= 17)
        {
            word = BinaryPrimitives.ReadUInt128LittleEndian(bytes[at..]) >> shift;
            word |= shift == 0 ? 0 : (UInt128)bytes[at + 16] << (128 - shift);
        }
        else
        {
            for (int i = Math.Min(bytes.Length - at, 17) - 1; i >= 0; i--)
            {
                int left = (8 * i) - shift;
                word |= left >= 0 ? (UInt128)bytes[at + i] << left : (UInt128)bytes[at + i] >> -left;
            }
        }

        return count == 128 ? word : word & ((UInt128.One << count) - 1);
    }

    /// <summary>Writes bits at a bit position of bytes that are zero there.</summary>
    public static void WriteBits(Span<byte> bytes, long position, int count, UInt128 word)
    {
        int at = (int)(position >> 3);
        int shift = (int)(position & 7);
        bytes[at] |= (byte)(word << shift);
        for (int done = 8 - shift; done < count; done += 8)
        {
            bytes[++at] = (byte)(word >> done);
        }
    }

    private static int BitsOf(UInt128 value) => 128 - (int)UInt128.LeadingZeroCount(value);

    private static ulong[][] Build()
    {
        var table = new ulong[MaxGroup + 1][];
        for (int i = 0; i <= MaxGroup; i++)
        {
            table[i] = new ulong[MaxGroup + 1];
            for (int p = 0; p <= MaxGroup; p++)
            {
                table[i][p] = i == 0 ? 1 : p == 0 ? 0 : table[i - 1][p - 1] + table[i][p - 1];
            }
        }

        return table;
    }
}
