using System.Runtime.CompilerServices;

namespace ModelPack.Codecs;

/// <summary>Counts to frequencies that add up to <see cref="RansFormat.Slots"/>. Integers only: the same counts give the same table everywhere.</summary>
internal static class RansFrequencies
{
    /// <summary>
    /// What an escaped symbol costs besides the escape's share and its own among those escaped: part of a bit, as Huffman codes are whole, and the time that reading it takes.
    /// </summary>
    private const uint EscapedCost = FixedLog2.One;

    /// <summary>What the first escaped symbol costs: header and code table of the side stream.</summary>
    private const ulong SideStreamCost = 128UL * FixedLog2.One;

    private const int MaxExchanges = 256;

    // log2 of frequencies, and what one slot more is worth: log2((f + 1) / f).
    private static readonly uint[] Logs = [0, .. Enumerable.Range(1, RansFormat.Slots).Select(f => FixedLog2.Of((uint)f))];

    /// <summary>Chooses the frequencies that cost least.</summary>
    /// <param name="counts">How often every entry occurs; the last is the escape. Their sum is below 2^31.</param>
    /// <param name="needsEscape">Symbols may come that were not counted.</param>
    /// <param name="frequencies">As many; 0 is an entry that has to be escaped. At least two are not 0.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Choose(ReadOnlySpan<uint> counts, bool needsEscape, Span<byte> frequencies)
    {
        int entries = counts.Length;
        int escape = entries - 1;
        Span<uint> kept = stackalloc uint[RansFormat.MaxEntries];
        counts.CopyTo(kept);
        kept = kept[..entries];
        if (needsEscape && kept[escape] == 0)
        {
            kept[escape] = 1;
        }

        ulong total = 0;
        foreach (uint count in kept)
        {
            total += count;
        }

        MoveToEscape(kept, total);
        Span<int> slots = stackalloc int[RansFormat.MaxEntries];
        int used = 0;
        int sum = 0;
        for (int s = 0; s < entries; s++)
        {
            if (kept[s] != 0)
            {
                slots[s] = (int)Math.Clamp((kept[s] * (ulong)RansFormat.Slots) / total, 1, RansFormat.Slots - 1);
                sum += slots[s];
                used++;
            }
        }

        for (int s = 0; used < 2; s++)
        {
            // A frequency of 256 does not fit a byte: a single symbol gets a partner that does not occur.
            if (slots[s] == 0)
            {
                slots[s] = 1;
                sum++;
                used++;
            }
        }

        for (; sum < RansFormat.Slots; sum++)
        {
            slots[MostGained(kept, slots)]++;
        }

        for (; sum > RansFormat.Slots; sum--)
        {
            slots[LeastLost(kept, slots)]--;
        }

        for (int i = 0; i < MaxExchanges; i++)
        {
            int to = MostGained(kept, slots);
            int from = LeastLost(kept, slots);
            if (to == from || Gain(kept[to], slots[to]) <= Gain(kept[from], slots[from] - 1))
            {
                break;
            }

            slots[to]++;
            slots[from]--;
        }

        for (int s = 0; s < entries; s++)
        {
            frequencies[s] = (byte)slots[s];
        }
    }

    /// <summary>
    /// Moves the rarest symbols to the escape, as many as cost least: an entry has at least one slot, 8 bits, and takes it from all others, so what is rarer is better told apart in the side stream.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MoveToEscape(Span<uint> kept, ulong total)
    {
        int escape = kept.Length - 1;
        Span<ulong> order = stackalloc ulong[RansFormat.MaxEntries];
        int n = 0;
        for (int s = 0; s < escape; s++)
        {
            if (kept[s] != 0)
            {
                order[n++] = ((ulong)kept[s] << 8) | (uint)s;
            }
        }

        order = order[..n];
        order.Sort();
        ulong escaped = kept[escape];
        ulong best = TableCost(order, escaped, total);
        ulong start = escaped == 0 ? SideStreamCost : 0;
        ulong apart = 0;
        int moved = 0;
        for (int t = 1; t < n && (order[t - 1] >> 8) * RansFormat.Slots < 2 * total; t++)
        {
            ulong count = order[t - 1] >> 8;
            escaped += count;
            apart += count * FixedLog2.Of((uint)count);
            ulong cost = TableCost(order[t..], escaped, total) + (escaped * (FixedLog2.Of((uint)escaped) + EscapedCost)) - apart + start;
            if (cost < best)
            {
                best = cost;
                moved = t;
            }
        }

        foreach (ulong o in order[..moved])
        {
            kept[escape] += (uint)(o >> 8);
            kept[(int)(o & 0xff)] = 0;
        }
    }

    /// <summary>Bits in fixed point that entries cost, the escape among them: those below a slot's share have one slot, the others divide the rest as exactly as they like.</summary>
    /// <param name="order">Counts of the symbols, above 8 bits of something else.</param>
    /// <param name="escaped">Count of the escape.</param>
    /// <param name="total">Sum of all counts.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static ulong TableCost(ReadOnlySpan<ulong> order, ulong escaped, ulong total)
    {
        ulong large = total;
        ulong own = 0;
        uint slots = RansFormat.Slots;
        for (int i = -1; i < order.Length; i++)
        {
            ulong count = i < 0 ? escaped : order[i] >> 8;
            if (count * RansFormat.Slots >= total)
            {
                own += count * FixedLog2.Of((uint)count);
            }
            else if (count != 0)
            {
                large -= count;
                slots--;
            }
        }

        return ((total - large) * Logs[RansFormat.Slots]) + (large * (FixedLog2.Of((uint)large) + Logs[RansFormat.Slots] - Logs[slots])) - own;
    }

    private static ulong Gain(uint count, int slots) => (ulong)count * (Logs[slots + 1] - Logs[slots]);

    private static int MostGained(ReadOnlySpan<uint> counts, ReadOnlySpan<int> slots)
    {
        int best = -1;
        ulong gain = 0;
        for (int s = 0; s < counts.Length; s++)
        {
            if (slots[s] != 0 && slots[s] < RansFormat.Slots - 1 && (best < 0 || Gain(counts[s], slots[s]) > gain))
            {
                best = s;
                gain = Gain(counts[s], slots[s]);
            }
        }

        return best;
    }

    private static int LeastLost(ReadOnlySpan<uint> counts, ReadOnlySpan<int> slots)
    {
        int best = -1;
        ulong loss = 0;
        for (int s = 0; s < counts.Length; s++)
        {
            if (slots[s] > 1 && (best < 0 || Gain(counts[s], slots[s] - 1) < loss))
            {
                best = s;
                loss = Gain(counts[s], slots[s] - 1);
            }
        }

        return best;
    }
}
