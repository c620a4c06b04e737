using System.Runtime.CompilerServices;

namespace ModelPack.Codecs;

/// <summary>Chooses how bytes of unknown meaning are cut: as numbers around a centre, as small floats, as they are, or as two codes of 4 bits.</summary>
internal static class CodeLayouts
{
    private const int MaxRestBits = 5;
    private const int CenterWindow = 4;

    /// <summary>More bits in the symbol must gain this fraction.</summary>
    private const int MinGain = 512;

    /// <summary>What a symbol costs that is none of the 31 most frequent, besides the escape.</summary>
    private const uint EscapedCost = 8 * FixedLog2.One;

    /// <summary>The layout that one table would code in fewest bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static RansLayout Choose(ReadOnlySpan<byte> raw)
    {
        Span<uint> counts = stackalloc uint[256];
        RansAlphabet.Count(raw, counts);
        Span<uint> kinds = stackalloc uint[256];
        Halves(counts, kinds);
        var best = new RansLayout { Width = 0 };
        ulong bestCost = Cost(kinds, 0, ulong.MaxValue);
        Span<uint> mapped = stackalloc uint[256];
        byte center = Center(counts);
        foreach (int moved in (ReadOnlySpan<int>)[-1, 4, 5, 0])
        {
            for (int rest = MaxRestBits; rest >= 0; rest--)
            {
                RansLayout layout = moved < 0
                    ? new RansLayout { Width = 1, ZigZag = true, Center = center, RestBits = rest }
                    : new RansLayout { Width = 1, Moved = moved, RestBits = rest };
                Map(counts, layout, mapped);
                ulong cost = Cost(mapped, rest, bestCost - (bestCost / MinGain));
                if (cost < bestCost - (bestCost / MinGain))
                {
                    best = layout;
                    bestCost = cost;
                }
            }
        }

        return best;
    }

    private static void Map(ReadOnlySpan<uint> counts, in RansLayout layout, Span<uint> mapped)
    {
        var move = new SignMove(8, layout.Moved);
        mapped.Clear();
        for (int x = 0; x < 256; x++)
        {
            int d = (sbyte)(x - layout.Center);
            int y = layout.ZigZag ? (byte)((d << 1) ^ (d >> 7)) : (int)move.Down((ulong)x);
            mapped[y >> layout.RestBits] += counts[x];
        }
    }

    /// <summary>Counts of the halves of bytes.</summary>
    private static void Halves(ReadOnlySpan<uint> counts, Span<uint> halves)
    {
        halves.Clear();
        for (int x = 0; x < 256; x++)
        {
            halves[x & 0xf] += counts[x];
            halves[x >> 4] += counts[x];
        }
    }

    /// <summary>The middle of the window with most codes in it, cyclic; the first of equals.</summary>
    private static byte Center(ReadOnlySpan<uint> counts)
    {
        ulong best = 0;
        int center = 0;
        for (int c = 0; c < 256; c++)
        {
            ulong sum = 0;
            for (int i = -CenterWindow; i <= CenterWindow; i++)
            {
                sum += counts[(c + i) & 0xff];
            }

            if (sum > best)
            {
                best = sum;
                center = c;
            }
        }

        return (byte)center;
    }

    /// <summary>Bits for all codes, or more than <paramref name="limit"/> when they would be.</summary>
    private static ulong Cost(Span<uint> counts, int restBits, ulong limit)
    {
        const int coded = RansFormat.MaxEntries - 1;
        ulong total = 0;
        ulong bits = 0;
        int kinds = 0;
        foreach (uint count in counts)
        {
            if (count != 0)
            {
                total += count;
                bits -= (ulong)count * FixedLog2.Of(count);
                kinds++;
            }
        }

        bits += total * (FixedLog2.Of((uint)total) + ((uint)restBits * FixedLog2.One));
        if (kinds <= coded || bits >= limit)
        {
            return bits;
        }

        // Those beyond the most frequent share an entry and take a byte each: they lose what told them apart.
        counts.Sort();
        ulong escaped = 0;
        foreach (uint count in counts[..^coded])
        {
            escaped += count;
            bits += count == 0 ? 0 : (ulong)count * (FixedLog2.Of(count) + EscapedCost);
        }

        return bits - (escaped * FixedLog2.Of((uint)escaped));
    }
}
