using System.Runtime.CompilerServices;

namespace ModelPack.Codecs;

/// <summary>Counts to frequencies that add up to <see cref="RansFormat.Slots"/>. Integers only: the same counts give the same table everywhere.</summary>
internal static class RansFrequencies
{
    /// <summary>What a symbol in the side stream costs besides the escape, in bits.</summary>
    private const int EscapedBits = 8;

    /// <summary>
    /// A slot less costs all others log2(256/255) = 1/177 bit. An escaped symbol costs about 16 bits where one slot costs 8, and its share of the escape's slots: below 1/2000 a
    /// symbol is better escaped.
    /// </summary>
    private const int EscapeBelow = 2000;

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

    /// <summary>Bits, in fixed point, that every entry costs under a table; entries that are escaped cost the escape and the byte behind it.</summary>
    public static void Costs(ReadOnlySpan<byte> frequencies, Span<uint> costs)
    {
        const uint never = 40 * FixedLog2.One;
        uint full = Logs[RansFormat.Slots];
        byte escape = frequencies[^1];
        uint escaped = escape == 0 ? never : full - Logs[escape] + (EscapedBits * FixedLog2.One);
        for (int s = 0; s < frequencies.Length - 1; s++)
        {
            costs[s] = frequencies[s] == 0 ? escaped : full - Logs[frequencies[s]];
        }

        costs[frequencies.Length - 1] = escaped;
    }

    private static void MoveToEscape(Span<uint> kept, ulong total)
    {
        int escape = kept.Length - 1;
        int rare = 0;
        for (int s = 0; s < escape; s++)
        {
            rare += kept[s] != 0 && (ulong)kept[s] * EscapeBelow < total ? 1 : 0;
        }

        // One rare symbol alone may as well have the slot that the escape would take.
        if (rare < 2 && kept[escape] == 0)
        {
            return;
        }

        for (int s = 0; s < escape; s++)
        {
            if ((ulong)kept[s] * EscapeBelow < total)
            {
                kept[escape] += kept[s];
                kept[s] = 0;
            }
        }
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
