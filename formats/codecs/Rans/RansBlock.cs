using System.Buffers;
using System.Runtime.CompilerServices;

namespace ModelPack.Codecs;

/// <summary>The binding around the encoders: symbols to a rANS block. <see cref="RansReader"/> is the way back. See SPEC.md in this folder.</summary>
internal static unsafe class RansBlock
{
    /// <summary>Blocks below this many have one table: more would cost more than they gain.</summary>
    private const int ClassesFromBlocks = 32;

    private const int DefaultBlockBits = 1;
    private const int DefaultIterations = 3;
    private const int MaxIterations = 16;
    private const int Slack = 64;

    /// <summary>Encodes symbols; false when that takes more than the destination.</summary>
    /// <param name="symbols">At least one.</param>
    /// <param name="tail">Other data that the states carry: nothing or <see cref="RansStates.TailBytes"/> bytes.</param>
    /// <param name="level">How hard to search for classes.</param>
    /// <param name="destination">Where to.</param>
    /// <param name="written">Bytes written.</param>
    /// <param name="fast">False to use the reference loops alone.</param>
    public static bool TryEncode(ReadOnlySpan<byte> symbols, ReadOnlySpan<byte> tail, CodecLevel level, Span<byte> destination, out int written, bool fast = true)
    {
        int m = symbols.Length;
        int blocks = ((m - 1) >> RansFormat.RowBits) + 1;
        int entryBytes = m + Slack;
        int histogramBytes = blocks * RansFormat.MaxEntries * sizeof(ushort);
        int labelBytes = blocks + Slack;
        byte[] scratch = ArrayPool<byte>.Shared.Rent((2 * entryBytes) + (2 * m) + Slack + histogramBytes + (3 * labelBytes));
        try
        {
            fixed (byte* s = symbols)
            fixed (byte* p = scratch)
            {
                // The words, then the histograms, so that both are aligned; the histograms are gone when the words come.
                var work = new RansWork
                {
                    Symbols = s,
                    Count = m,
                    Histograms = (ushort*)(p + (2 * m)),
                    Entries = p + (2 * m) + histogramBytes,
                    Escapes = p + (2 * m) + histogramBytes + entryBytes,
                    Labels = p + (2 * m) + histogramBytes + (2 * entryBytes),
                    OtherLabels = p + (2 * m) + histogramBytes + (2 * entryBytes) + labelBytes,
                    WordEnd = (ushort*)p + m,
                };
                Span<byte> alphabet = stackalloc byte[RansFormat.MaxEntries];
                Span<byte> frequencies = stackalloc byte[RansFormat.MaxTables * RansFormat.MaxEntries];
                alphabet = alphabet[..Model(ref work, level, alphabet, frequencies)];
                MapAndEscape(ref work, alphabet, frequencies);
                uint* states = stackalloc uint[RansFormat.States];
                RansStates.Begin(tail, states);
                EncodeRows(ref work, frequencies, alphabet.Length + 1, states, fast);
                return TryWrite(ref work, alphabet, frequencies, states, destination, out written);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(scratch);
        }
    }

    /// <summary>Chooses alphabet, classes and frequencies.</summary>
    /// <returns>The number of symbols in the alphabet.</returns>
    private static int Model(ref RansWork work, CodecLevel level, Span<byte> alphabet, Span<byte> frequencies)
    {
        Span<uint> counts = stackalloc uint[256];
        bool all = RansAlphabet.Count(new ReadOnlySpan<byte>(work.Symbols, work.Count), counts);
        int n = RansAlphabet.Choose(counts, alphabet);
        work.Classes = 1;
        work.BlockBits = DefaultBlockBits;
        if (level == CodecLevel.Fast || work.Blocks < ClassesFromBlocks)
        {
            Span<uint> kept = stackalloc uint[RansFormat.MaxEntries];
            kept = kept[..(n + 1)];
            kept.Clear();
            for (int s = 0; s < 256; s++)
            {
                int e = alphabet[..n].BinarySearch((byte)s);
                kept[e < 0 ? n : e] += counts[s];
            }

            RansFrequencies.Choose(kept, !all, frequencies[..(n + 1)]);
            new Span<byte>(work.Labels, work.Blocks).Clear();
            return n;
        }

        Span<byte> map = stackalloc byte[256];
        RansAlphabet.BuildMap(alphabet[..n], [], map);
        fixed (byte* m = map)
        {
            SymbolMap.Apply(m, work.Symbols, work.Count, work.Entries);
        }

        Span<uint> classCounts = stackalloc uint[RansFormat.MaxTables * RansFormat.MaxEntries];
        if (level == CodecLevel.Max)
        {
            FindBest(ref work, n + 1, classCounts);
        }
        else
        {
            BlockHistograms.Count(work.Entries, work.Count, RansFormat.States << work.BlockBits, n + 1, work.Histograms);
            work.Classes = RansClasses.Find(work.Histograms, work.Blocks, n + 1, DefaultIterations, work.Labels, classCounts, out _);
        }

        for (int k = 0; k < work.Classes; k++)
        {
            RansFrequencies.Choose(classCounts.Slice(k * RansFormat.MaxEntries, n + 1), false, frequencies[(k * (n + 1))..((k + 1) * (n + 1))]);
        }

        return n;
    }

    /// <summary>Tries every length of block.</summary>
    private static void FindBest(ref RansWork work, int entries, Span<uint> classCounts)
    {
        Span<uint> counts = stackalloc uint[classCounts.Length];
        long best = long.MaxValue;
        int bestBits = 0;
        BlockHistograms.Count(work.Entries, work.Count, RansFormat.States, entries, work.Histograms);
        for (work.BlockBits = 0; ; work.BlockBits++)
        {
            int classes = RansClasses.Find(work.Histograms, work.Blocks, entries, MaxIterations, work.OtherLabels, counts, out long cost);
            if (cost < best)
            {
                best = cost;
                bestBits = work.BlockBits;
                work.Classes = classes;
                counts.CopyTo(classCounts);
                byte* labels = work.Labels;
                work.Labels = work.OtherLabels;
                work.OtherLabels = labels;
            }

            if (work.BlockBits == RansFormat.MaxBlockBits)
            {
                break;
            }

            BlockHistograms.Halve(work.Histograms, work.Blocks);
        }

        work.BlockBits = bestBits;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MapAndEscape(ref RansWork work, ReadOnlySpan<byte> alphabet, ReadOnlySpan<byte> frequencies)
    {
        int entries = alphabet.Length + 1;
        byte* maps = stackalloc byte[256 * RansFormat.MaxTables];
        for (int k = 0; k < work.Classes; k++)
        {
            RansAlphabet.BuildMap(alphabet, frequencies.Slice(k * entries, entries), new Span<byte>(maps + (256 * k), 256));
        }

        byte* escapes = work.Escapes;
        int blockSymbols = work.Classes == 1 ? work.Count : RansFormat.States << work.BlockBits;
        for (int b = 0, at = 0; at < work.Count; b++, at += blockSymbols)
        {
            escapes = SymbolMap.Apply(maps + (256 * work.Labels[b]), (byte)alphabet.Length, work.Symbols + at, Math.Min(blockSymbols, work.Count - at), work.Entries + at, escapes);
        }

        work.EscapeCount = (int)(escapes - work.Escapes);
    }

    private static void EncodeRows(ref RansWork work, ReadOnlySpan<byte> frequencies, int entries, uint* states, bool fast)
    {
        byte* tables = stackalloc byte[RansTable.EncodeBytes * RansFormat.MaxTables];
        for (int k = 0; k < work.Classes; k++)
        {
            RansTable.BuildEncode(frequencies.Slice(k * entries, entries), tables + (RansTable.EncodeBytes * k));
        }

        ushort* word = work.WordEnd;
        int rows = work.Count >> RansFormat.RowBits;
        int rest = work.Count - (rows << RansFormat.RowBits);
        if (rest > 0)
        {
            word = RansEncoder.Row(states, tables + (RansTable.EncodeBytes * work.Labels[rows >> work.BlockBits]), work.Entries + (rows << RansFormat.RowBits), rest, word);
        }

        if (fast && RansEncoder512.IsSupported)
        {
            work.Word = RansEncoder512.Rows(states, tables, work.Labels, work.BlockBits, work.Entries, rows, word);
            return;
        }

        for (int r = rows - 1; r >= 0; r--)
        {
            word = RansEncoder.Row(states, tables + (RansTable.EncodeBytes * work.Labels[r >> work.BlockBits]), work.Entries + (r << RansFormat.RowBits), RansFormat.States, word);
        }

        work.Word = word;
    }

    private static bool TryWrite(ref RansWork work, ReadOnlySpan<byte> alphabet, ReadOnlySpan<byte> frequencies, uint* states, Span<byte> destination, out int written)
    {
        written = 0;
        int words = (int)(work.WordEnd - work.Word);
        int sections = RansHeader.Sections(work.EscapeCount);
        int fixedBytes = RansHeader.FixedBytes + alphabet.Length + (sections * PlaneSection.HeaderBytes);
        if (destination.Length < fixedBytes + RansStates.MaxBytes + (2 * words))
        {
            return false;
        }

        RansHeader.Write(destination, work.Classes, work.BlockBits, alphabet, work.EscapeCount, words);
        Span<byte> headers = destination[(RansHeader.FixedBytes + alphabet.Length)..];
        int at = fixedBytes;
        ReadOnlySpan<byte> tables = frequencies[..(work.Classes * (alphabet.Length + 1))];
        if (!TrySection(tables, ref headers, destination, ref at)
            || (work.EscapeCount > 0 && !TrySection(new ReadOnlySpan<byte>(work.Escapes, work.EscapeCount), ref headers, destination, ref at))
            || destination.Length - at < RansStates.MaxBytes + (2 * words) + BitPlane.Bytes(work.Blocks, RansFormat.LabelBits(work.Classes)))
        {
            return false;
        }

        if (work.Classes > 1)
        {
            fixed (byte* to = destination[at..])
            {
                BitPlane.Pack(work.Labels, work.Blocks, RansFormat.LabelBits(work.Classes), to);
            }

            at += BitPlane.Bytes(work.Blocks, RansFormat.LabelBits(work.Classes));
        }

        at += RansStates.Write(states, destination[at..]);
        new ReadOnlySpan<byte>(work.Word, 2 * words).CopyTo(destination[at..]);
        written = at + (2 * words);
        return true;
    }

    private static bool TrySection(ReadOnlySpan<byte> bytes, ref Span<byte> headers, Span<byte> destination, ref int at)
    {
        if (!PlaneSection.TryWrite(bytes, bytes.Length - 1, probe: false, headers, destination[at..], out int length))
        {
            return false;
        }

        headers = headers[PlaneSection.HeaderBytes..];
        at += length;
        return true;
    }
}
