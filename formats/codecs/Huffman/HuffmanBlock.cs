using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;

namespace ModelPack.Codecs;

/// <summary>
/// The binding around the Huffman loops: symbols to sections (code lengths, stream lengths, streams) and back. See SPEC.md in this folder.
/// </summary>
/// <remarks>
/// Everything with a loop is compiled with optimisation at once, here and in the kernels: an artifact is loaded in the first tenth of a second of a process, before the runtime would get to it. 8 MB of codes in
/// a new process take 21 ms instead of 30 (AMD EPYC Zen 5, 2026-11-25).
/// </remarks>
internal static class HuffmanBlock
{
    /// <summary>Symbols of a section; the last of a block may have fewer.</summary>
    public const int SectionSymbols = 128 << 10;

    /// <summary>Sections of at least this many symbols have eight streams, shorter ones one.</summary>
    public const int ManyStreamsFrom = 4096;

    private const int StreamLengthBytes = 2;

    /// <summary>Sections whose tables are chosen together.</summary>
    private const int GroupSections = 8;

    /// <summary>A look-up table of several symbols pays below this many bits per symbol, unless the section is too short to earn it.</summary>
    private const int MultiBelowBits = 6;
    private const int MultiFrom = 16 << 10;

    /// <summary>Encodes symbols; false when that takes more than the destination or <paramref name="limit"/>.</summary>
    /// <param name="symbols">Symbols of at least two kinds.</param>
    /// <param name="limit">Most bytes that are worth it.</param>
    /// <param name="destination">Where to.</param>
    /// <param name="written">Bytes written.</param>
    public static bool TryEncode(ReadOnlySpan<byte> symbols, int limit, Span<byte> destination, out int written)
    {
        written = 0;
        destination = destination[..Math.Min(limit, destination.Length)];
        Span<uint> counts = stackalloc uint[GroupSections * HuffmanCode.Symbols];
        Span<byte> lengths = stackalloc byte[(GroupSections + 1) * HuffmanCode.Symbols];
        int at = 0;
        while (!symbols.IsEmpty)
        {
            ReadOnlySpan<byte> group = symbols[..Math.Min(GroupSections * SectionSymbols, symbols.Length)];
            if (!TryEncodeGroup(group, counts, lengths, destination[at..], out int length))
            {
                return false;
            }

            at += length;
            symbols = symbols[group.Length..];
        }

        written = at;
        return true;
    }

    /// <summary>Decodes a block of exactly as many symbols as the span has; false for anything that an encoder would not write so.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> block, Span<byte> symbols) => TryDecode(block, symbols, fast: true);

    /// <summary>As <see cref="TryDecode(ReadOnlySpan{byte}, Span{byte})"/>, on request by the reference loop alone.</summary>
    [SkipLocalsInit]
    internal static bool TryDecode(ReadOnlySpan<byte> block, Span<byte> symbols, bool fast)
    {
        Span<byte> lengths = stackalloc byte[HuffmanCode.Symbols];
        Span<ushort> single = stackalloc ushort[HuffmanTable.Entries];
        Span<ulong> scratch = stackalloc ulong[HuffmanTable.MultiScratch];
        bool hasMulti = false;
        HuffmanStreams streams = default;
        bool first = true;
        while (!symbols.IsEmpty)
        {
            if (HuffmanTable.IsRepeat(block) && !first)
            {
                block = block[HuffmanTable.RepeatBytes..];
            }
            else if (HuffmanTable.TryRead(block, lengths, out int tableBytes))
            {
                block = block[tableBytes..];
                HuffmanTable.BuildSingle(lengths, single);
                hasMulti = false;
                first = false;
            }
            else
            {
                return false;
            }

            Span<byte> section = symbols[..Math.Min(SectionSymbols, symbols.Length)];
            symbols = symbols[section.Length..];
            if (!TryLocate(block, section.Length, ref streams, out int bytes))
            {
                return false;
            }

            if (fast && section.Length >= MultiFrom && bytes * 8L < (long)section.Length * MultiBelowBits)
            {
                if (!hasMulti)
                {
                    HuffmanTable.BuildMulti(lengths, single, scratch);
                    hasMulti = true;
                }

                HuffmanDecoder.Multis(block, scratch[HuffmanTable.Entries..], section, ref streams);
            }
            else if (fast)
            {
                HuffmanDecoder.Singles(block, single, section, ref streams);
            }

            HuffmanDecoder.Finish(block, single, section, ref streams);
            if (!AreAtEnd(ref streams))
            {
                return false;
            }

            block = block[bytes..];
        }

        return block.IsEmpty && !first;
    }

    /// <summary>
    /// One table for all sections of the group, or one for each: whichever is shorter, the first unless the second gains more than 1/256, as every table costs the decoder time.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool TryEncodeGroup(ReadOnlySpan<byte> group, Span<uint> counts, Span<byte> lengths, Span<byte> destination, out int written)
    {
        written = 0;
        int sections = ((group.Length - 1) / SectionSymbols) + 1;
        Span<uint> total = stackalloc uint[HuffmanCode.Symbols];
        Span<byte> table = stackalloc byte[HuffmanTable.MaxWrittenBytes];
        counts.Clear();
        total.Clear();
        bool each = sections > 1;
        for (int s = 0; s < sections; s++)
        {
            Span<uint> own = counts.Slice(s * HuffmanCode.Symbols, HuffmanCode.Symbols);
            ByteHistogram.Add(Section(group, s), own);
            for (int i = 0; i < HuffmanCode.Symbols; i++)
            {
                total[i] += own[i];
            }

            // A section of one kind of symbol has no code of its own.
            each &= own.LastIndexOfAnyExcept(0u) != own.IndexOfAnyExcept(0u);
        }

        Span<byte> shared = lengths[^HuffmanCode.Symbols..];
        if (total.LastIndexOfAnyExcept(0u) == total.IndexOfAnyExcept(0u))
        {
            // A group of one kind of symbol in a block of several: it gets a partner that does not occur.
            total[total.IndexOfAnyExcept(0u) ^ 1] = 1;
        }

        long sharedBytes = (HuffmanCode.BuildLengths(total, shared) / 8) + HuffmanTable.Write(shared, table);
        if (each)
        {
            long eachBytes = 0;
            for (int s = 0; s < sections; s++)
            {
                Span<byte> own = lengths.Slice(s * HuffmanCode.Symbols, HuffmanCode.Symbols);
                eachBytes += (HuffmanCode.BuildLengths(counts.Slice(s * HuffmanCode.Symbols, HuffmanCode.Symbols), own) / 8) + HuffmanTable.Write(own, table);
            }

            each = eachBytes < sharedBytes - (sharedBytes / 256);
            sharedBytes = each ? eachBytes : sharedBytes;
        }

        // Every stream ends with a mark and up to seven zeros: one byte more than its whole bytes. Whatever is short of that room is not worth it either.
        if (sharedBytes + (sections * (HuffmanTable.RepeatBytes + (HuffmanStreams.Most * (StreamLengthBytes + 1)))) > destination.Length)
        {
            return false;
        }

        Span<uint> codes = stackalloc uint[HuffmanCode.Symbols];
        for (int s = 0; s < sections; s++)
        {
            if (s == 0 || each)
            {
                Span<byte> code = each ? lengths.Slice(s * HuffmanCode.Symbols, HuffmanCode.Symbols) : shared;
                written += HuffmanTable.Write(code, destination[written..]);
                HuffmanCode.BuildCodes(code, codes);
            }
            else
            {
                written += HuffmanTable.WriteRepeat(destination[written..]);
            }

            written += EncodeStreams(Section(group, s), codes, destination[written..]);
        }

        return true;
    }

    private static ReadOnlySpan<byte> Section(ReadOnlySpan<byte> group, int s) =>
        group.Slice(s * SectionSymbols, Math.Min(SectionSymbols, group.Length - (s * SectionSymbols)));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int EncodeStreams(ReadOnlySpan<byte> symbols, ReadOnlySpan<uint> codes, Span<byte> destination)
    {
        int streams = StreamCount(symbols.Length);
        int segment = SegmentLength(symbols.Length, streams);
        int at = streams * StreamLengthBytes;
        for (int s = 0; s < streams; s++)
        {
            int length = HuffmanEncoder.Encode(symbols[(s * segment)..Math.Min((s + 1) * segment, symbols.Length)], codes, destination[at..]);
            BinaryPrimitives.WriteUInt16LittleEndian(destination[(s * StreamLengthBytes)..], (ushort)length);
            at += length;
        }

        return at;
    }

    /// <summary>Finds the streams of a section: they must lie in the block and each must have its end mark.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe bool TryLocate(ReadOnlySpan<byte> block, int symbols, ref HuffmanStreams streams, out int bytes)
    {
        streams.Count = StreamCount(symbols);
        int segment = SegmentLength(symbols, streams.Count);
        int at = streams.Count * StreamLengthBytes;
        bytes = 0;
        if (block.Length < at)
        {
            return false;
        }

        for (int s = 0; s < streams.Count; s++)
        {
            int length = BinaryPrimitives.ReadUInt16LittleEndian(block[(s * StreamLengthBytes)..]);
            if (length == 0 || length > block.Length - at || block[at + length - 1] == 0)
            {
                return false;
            }

            streams.Bit[s] = 8L * at;
            at += length;
            streams.EndBit[s] = (8L * at) - 1 - BitOperations.TrailingZeroCount((uint)block[at - 1]);
            streams.Symbol[s] = s * segment;
            streams.EndSymbol[s] = Math.Min((s + 1) * segment, symbols);
        }

        bytes = at;
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe bool AreAtEnd(ref HuffmanStreams streams)
    {
        bool end = true;
        for (int s = 0; s < streams.Count; s++)
        {
            end &= streams.Bit[s] == streams.EndBit[s] && streams.Symbol[s] == streams.EndSymbol[s];
        }

        return end;
    }

    private static int StreamCount(int symbols) => symbols >= ManyStreamsFrom ? HuffmanStreams.Most : 1;

    private static int SegmentLength(int symbols, int streams) => ((symbols - 1) / streams) + 1;
}
