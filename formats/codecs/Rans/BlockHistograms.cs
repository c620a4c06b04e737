using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Codecs;

/// <summary>Counts the entries of every block.</summary>
internal static unsafe class BlockHistograms
{
    private const int Entries = RansFormat.MaxEntries;

    /// <summary>Counts blocks of <paramref name="blockSymbols"/> entries (at most 1024), the last of which may be shorter: 32 counts for each.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Count(byte* entries, int count, int blockSymbols, ushort* histograms)
    {
        // Four tables, so that a run of one entry does not wait for its own last increment. scalar: histogram[entry]++
        ushort* tables = stackalloc ushort[4 * Entries];
        for (int start = 0; start < count; start += blockSymbols, histograms += Entries)
        {
            Vector512<ushort>.Zero.Store(tables);
            Vector512<ushort>.Zero.Store(tables + Entries);
            Vector512<ushort>.Zero.Store(tables + (2 * Entries));
            Vector512<ushort>.Zero.Store(tables + (3 * Entries));
            int end = Math.Min(count, start + blockSymbols);
            int i = start;
            for (; i <= end - 8; i += 8)
            {
                ulong x = *(ulong*)(entries + i);
                tables[(nuint)(byte)x]++;
                (tables + Entries)[(nuint)(byte)(x >> 8)]++;
                (tables + (2 * Entries))[(nuint)(byte)(x >> 16)]++;
                (tables + (3 * Entries))[(nuint)(byte)(x >> 24)]++;
                tables[(nuint)(byte)(x >> 32)]++;
                (tables + Entries)[(nuint)(byte)(x >> 40)]++;
                (tables + (2 * Entries))[(nuint)(byte)(x >> 48)]++;
                (tables + (3 * Entries))[(nuint)(x >> 56)]++;
            }

            for (; i < end; i++)
            {
                tables[entries[i]]++;
            }

            (Vector512.Load(tables) + Vector512.Load(tables + Entries) + Vector512.Load(tables + (2 * Entries)) + Vector512.Load(tables + (3 * Entries))).Store(histograms);
        }
    }

    /// <summary>Joins pairs of blocks: <paramref name="blocks"/> histograms to half as many, rounded up, in place.</summary>
    public static void Halve(ushort* histograms, int blocks)
    {
        for (int b = 0; b < blocks; b += 2)
        {
            Vector512<ushort> sum = Vector512.Load(histograms + (b * Entries));
            if (b + 1 < blocks)
            {
                sum += Vector512.Load(histograms + ((b + 1) * Entries));
            }

            sum.Store(histograms + (b / 2 * Entries));
        }
    }
}
