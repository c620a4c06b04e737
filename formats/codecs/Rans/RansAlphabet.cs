using System.Runtime.CompilerServices;

namespace ModelPack.Codecs;

/// <summary>The symbols of a block that get an entry: the most frequent, ascending. All others are escaped.</summary>
internal static class RansAlphabet
{
    private const int SampleFrom = 64 << 10;
    private const int SampleStride = 64 << 10;
    private const int LeastPieces = 4;

    /// <summary>Counts symbols, of a long text only a quarter in at least four pieces.</summary>
    /// <param name="symbols">The text.</param>
    /// <param name="counts">256 counts.</param>
    /// <returns>True when all were counted.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static bool Count(ReadOnlySpan<byte> symbols, Span<uint> counts)
    {
        counts.Clear();
        if (symbols.Length < SampleFrom)
        {
            ByteHistogram.Add(symbols, counts);
            return true;
        }

        // Whole pieces at equal distances: the tables of the histogram are worth it for long pieces only.
        int pieces = Math.Max(LeastPieces, symbols.Length / SampleStride);
        int stride = symbols.Length / pieces;
        for (int p = 0; p < pieces; p++)
        {
            ByteHistogram.Add(symbols.Slice(p * stride, stride / 4), counts);
        }

        return false;
    }

    /// <summary>Chooses the symbols.</summary>
    /// <param name="counts">256 counts, not all 0.</param>
    /// <param name="symbols">Room for 31.</param>
    /// <returns>How many.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Choose(ReadOnlySpan<uint> counts, Span<byte> symbols)
    {
        const int most = RansFormat.MaxEntries - 1;
        Span<ulong> order = stackalloc ulong[256];
        int n = 0;
        for (int s = 0; s < 256; s++)
        {
            if (counts[s] != 0)
            {
                order[n++] = ((ulong)~counts[s] << 8) | (uint)s;
            }
        }

        order[..n].Sort();
        n = Math.Min(n, most);
        for (int i = 0; i < n; i++)
        {
            symbols[i] = (byte)order[i];
        }

        symbols[..n].Sort();
        return n;
    }

    /// <summary>Entry of every symbol; <paramref name="symbols"/>.Length, the escape, for those that have none or whose frequency is 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void BuildMap(ReadOnlySpan<byte> symbols, ReadOnlySpan<byte> frequencies, Span<byte> map)
    {
        map.Fill((byte)symbols.Length);
        for (int e = 0; e < symbols.Length; e++)
        {
            if (frequencies.IsEmpty || frequencies[e] != 0)
            {
                map[symbols[e]] = (byte)e;
            }
        }
    }
}
