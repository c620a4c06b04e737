using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Codecs;

/// <summary>Counts the entries of every block.</summary>
internal static unsafe class BlockHistograms
{
    private const int Entries = RansFormat.MaxEntries;

    /// <summary>Counts blocks of <paramref name="blockSymbols"/> entries (128 to 1024), the last of which may be shorter: 32 counts for each.</summary>
    /// <param name="entries">The entries, each below <paramref name="used"/>.</param>
    /// <param name="count">How many.</param>
    /// <param name="blockSymbols">Entries of a block.</param>
    /// <param name="used">Entries of a table.</param>
    /// <param name="histograms">32 counts for every block.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Count(byte* entries, int count, int blockSymbols, int used, ushort* histograms)
    {
        new Span<ushort>(histograms, ((count - 1) / blockSymbols + 1) * Entries).Clear();
        int start = 0;
        if (Avx512BW.IsSupported)
        {
            // One comparison of 64 entries for every entry of a table: increments would wait for those of the same entry before them.
            for (; start <= count - blockSymbols; start += blockSymbols, histograms += Entries)
            {
                for (int v = 0; v < blockSymbols; v += RansFormat.States)
                {
                    Vector512<byte> a = Vector512.Load(entries + start + v);
                    Vector512<byte> b = Vector512.Load(entries + start + v + 64);
                    for (int e = 0; e < used; e++)
                    {
                        Vector512<byte> entry = Vector512.Create((byte)e);
                        histograms[e] += (ushort)(BitOperations.PopCount(Vector512.Equals(a, entry).ExtractMostSignificantBits()) + BitOperations.PopCount(Vector512.Equals(b, entry).ExtractMostSignificantBits()));
                    }
                }
            }
        }

        for (; start < count; start += blockSymbols, histograms += Entries)
        {
            CountScalar(entries + start, Math.Min(blockSymbols, count - start), histograms);
        }
    }

    /// <summary>histogram[entry]++</summary>
    private static void CountScalar(byte* entries, int count, ushort* histogram)
    {
        for (int i = 0; i < count; i++)
        {
            histogram[entries[i]]++;
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
