using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Codecs;

/// <summary>The tables of the Huffman codecs: code lengths as they are written, and look-up tables of the decoders. All are made for windows of <see cref="HuffmanCode.MaxBits"/> bits.</summary>
internal static class HuffmanTable
{
    /// <summary>Entries of a look-up table: one for each window.</summary>
    public const int Entries = 1 << HuffmanCode.MaxBits;

    /// <summary>Most bytes of written code lengths.</summary>
    public const int MaxWrittenBytes = 2 + (HuffmanCode.Symbols / 2);

    /// <summary>Most symbols of one entry of a table made by <see cref="BuildMulti"/>.</summary>
    public const int MaxPerEntry = 6;

    /// <summary>Entries that <see cref="BuildMulti"/> needs as room to work: the tables of all smaller windows.</summary>
    public const int MultiScratch = 2 * Entries;

    /// <summary>Bytes that stand for the table of the section before: no first symbol has so many after it.</summary>
    public const int RepeatBytes = 2;

    private const byte RepeatMark = 0xff;
    private const int RunMark = 15;
    private const int ShortestRun = 3;
    private const int LongestRun = ShortestRun + 15;

    /// <summary>Writes the lengths: first symbol, number of symbols less one, then nibbles. At least one length is not zero.</summary>
    /// <returns>Bytes written; at most <see cref="MaxWrittenBytes"/>.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Write(ReadOnlySpan<byte> lengths, Span<byte> destination)
    {
        int first = lengths.IndexOfAnyExcept((byte)0);
        int last = lengths.LastIndexOfAnyExcept((byte)0);
        destination[0] = (byte)first;
        destination[1] = (byte)(last - first);
        int nibbles = 0;
        for (int s = first; s <= last; s++)
        {
            int zeros = lengths[s..(last + 1)].IndexOfAnyExcept((byte)0);
            if (zeros >= ShortestRun)
            {
                zeros = Math.Min(zeros, LongestRun);
                Put(destination, nibbles++, RunMark);
                Put(destination, nibbles++, zeros - ShortestRun);
                s += zeros - 1;
            }
            else
            {
                Put(destination, nibbles++, lengths[s]);
            }
        }

        return 2 + ((nibbles + 1) / 2);
    }

    /// <summary>Writes that the table of the section before counts; <see cref="RepeatBytes"/> bytes.</summary>
    public static int WriteRepeat(Span<byte> destination)
    {
        destination[0] = RepeatMark;
        destination[1] = RepeatMark;
        return RepeatBytes;
    }

    /// <summary>True where <see cref="WriteRepeat"/> wrote.</summary>
    public static bool IsRepeat(ReadOnlySpan<byte> source) => source.Length >= RepeatBytes && source[0] == RepeatMark && source[1] == RepeatMark;

    /// <summary>Reads what <see cref="Write"/> wrote and checks that it is a complete code.</summary>
    /// <param name="source">Bytes of a file.</param>
    /// <param name="lengths">256 lengths.</param>
    /// <param name="read">Bytes used.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static bool TryRead(ReadOnlySpan<byte> source, Span<byte> lengths, out int read)
    {
        read = 0;
        lengths.Clear();
        if (source.Length < 3)
        {
            return false;
        }

        int s = source[0];
        int end = s + source[1] + 1;
        if (end > HuffmanCode.Symbols)
        {
            return false;
        }

        int nibbles = 0;
        int limit = 2 * (source.Length - 2);
        while (s < end)
        {
            if (nibbles >= limit)
            {
                return false;
            }

            int value = Get(source, nibbles++);
            if (value <= HuffmanCode.MaxBits)
            {
                lengths[s++] = (byte)value;
                continue;
            }

            if (value != RunMark || nibbles >= limit)
            {
                return false;
            }

            s += ShortestRun + Get(source, nibbles++);
        }

        if (s != end || ((nibbles & 1) != 0 && Get(source, nibbles) != 0))
        {
            return false;
        }

        read = 2 + ((nibbles + 1) / 2);
        return HuffmanCode.IsComplete(lengths);
    }

    /// <summary>A table of one symbol per window: <c>symbol &lt;&lt; 8 | bits</c>. The code must be complete, the table have all <see cref="Entries"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void BuildSingle(ReadOnlySpan<byte> lengths, Span<ushort> table)
    {
        // A loop of its own: Span.Fill of this type is compiled at run time, at first without optimisation, and the first chunks of a process are what loading is about.
        ref ushort target = ref MemoryMarshal.GetReference(table);
        nuint at = 0;
        for (int bits = 1; bits <= HuffmanCode.MaxBits; bits++)
        {
            var windows = (nuint)(Entries >> bits);
            for (int s = 0; s < HuffmanCode.Symbols; s++)
            {
                if (lengths[s] != bits)
                {
                    continue;
                }

                nuint end = at + windows;
                var entry = (ushort)((s << 8) | bits);
                for (var many = Vector128.Create(entry); end - at >= 8; at += 8)
                {
                    many.StoreUnsafe(ref target, at);
                }

                for (; at < end; at++)
                {
                    Unsafe.Add(ref target, at) = entry;
                }
            }
        }
    }

    /// <summary>
    /// A table of as many whole symbols as fit a window, at most six: bits they take in byte 0, the symbols in bytes 1 to 6 in order, their number in byte 7. The code must be complete.
    /// </summary>
    /// <param name="lengths">256 code lengths.</param>
    /// <param name="single">The table of <see cref="BuildSingle"/> for the same lengths.</param>
    /// <param name="scratch">Room for <see cref="MultiScratch"/> entries; the table is its last <see cref="Entries"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void BuildMulti(ReadOnlySpan<byte> lengths, ReadOnlySpan<ushort> single, Span<ulong> scratch)
    {
        // Windows of w bits have their table at [2^w, 2^(w+1)): after a first symbol of b bits come the symbols of the remaining w - b bits, known already.
        scratch[0] = 0;
        scratch[1] = 0;
        for (int w = 1; w <= HuffmanCode.MaxBits; w++)
        {
            Span<ulong> table = scratch.Slice(1 << w, 1 << w);
            int at = 0;
            while (at < table.Length)
            {
                ushort first = single[at << (HuffmanCode.MaxBits - w)];
                int bits = first & 0xff;
                if (bits > w)
                {
                    // Codes are ascending by length: nothing from here on fits.
                    table[at..].Clear();
                    break;
                }

                ReadOnlySpan<ulong> rest = scratch.Slice(1 << (w - bits), 1 << (w - bits));
                Span<ulong> target = table.Slice(at, rest.Length);
                ulong head = first;
                for (int i = 0; i < target.Length; i++)
                {
                    target[i] = Prepend(head, rest[i], lengths);
                }

                at += rest.Length;
            }
        }
    }

    /// <summary>A symbol (<c>symbol &lt;&lt; 8 | bits</c>) before the symbols of an entry; the seventh is dropped.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Prepend(ulong head, ulong rest, ReadOnlySpan<byte> lengths)
    {
        const ulong symbols = 0x0000_ffff_ffff_ff00;
        ulong count = rest >> 56;
        ulong bits = rest & 0xff;
        if (count == MaxPerEntry)
        {
            bits -= lengths[(int)((rest >> 48) & 0xff)];
            rest &= 0x0000_ffff_ffff_ffff;
            count--;
        }

        return ((count + 1) << 56) | ((rest & symbols) << 8) | ((head & 0xff00) + (head & 0xff) + bits);
    }

    private static void Put(Span<byte> destination, int nibble, int value)
    {
        ref byte b = ref destination[2 + (nibble >> 1)];
        b = (byte)((nibble & 1) == 0 ? value : b | (value << 4));
    }

    private static int Get(ReadOnlySpan<byte> source, int nibble) => (source[2 + (nibble >> 1)] >> (4 * (nibble & 1))) & 0xf;
}
