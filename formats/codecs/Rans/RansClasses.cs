using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Codecs;

/// <summary>
/// Sorts the blocks of a chunk into classes with a table each: weights have a local scale, so the exponents of a row, a channel or a head are distributed alike. Integers only.
/// </summary>
internal static unsafe class RansClasses
{
    private const int Most = RansFormat.MaxTables;
    private const int Entries = RansFormat.MaxEntries;

    /// <summary>Buckets of the mean entry of a block: 32 per entry.</summary>
    private const int MeanScale = 32;

    /// <summary>Fraction bits of costs in the search: cost x count of a block, and four bits of class below, stay inside 31 bits.</summary>
    private const int CostBits = 8;

    private const int NeverSeenBits = 16;

    /// <summary>What an entry of a table takes, roughly, when tables are coded.</summary>
    private const int TableEntryBits = 5;

    /// <summary>Finds classes.</summary>
    /// <param name="histograms">Counts of 32 entries for every block.</param>
    /// <param name="blocks">How many blocks.</param>
    /// <param name="entries">Entries in use, with the escape.</param>
    /// <param name="iterations">How often classes are refined.</param>
    /// <param name="labels">The class of every block.</param>
    /// <param name="counts">Counts of every class, 32 for each of 16.</param>
    /// <param name="costBits">What the block costs, in bits: words, labels and tables.</param>
    /// <returns>The number of classes, 1 to 16; none is empty.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Find(ushort* histograms, int blocks, int entries, int iterations, byte* labels, Span<uint> counts, out long costBits)
    {
        Span<uint> grouped = stackalloc uint[Most * Entries];
        AssignByMean(histograms, blocks, labels);
        Sum(histograms, blocks, labels, counts);
        long best = TotalCost(counts, 1, blocks, entries, Most);
        long one = best;
        int classes = 1;
        for (int k = 2; k <= Most; k *= 2)
        {
            long cost = TotalCost(counts, k, blocks, entries, Most / k);
            if (cost < best)
            {
                best = cost;
                classes = k;
            }
        }

        for (int b = 0; b < blocks; b++)
        {
            labels[b] = (byte)(labels[b] * classes / Most);
        }

        int* costs = stackalloc int[(Entries / 2 * Most) + Most];
        Sum(histograms, blocks, labels, counts);
        for (int i = 0; i < iterations && classes > 1; i++)
        {
            BuildCosts(counts, blocks, entries, labels, costs);
            if (!Assign(histograms, blocks, (entries + 1) / 2, costs, labels, counts))
            {
                break;
            }
        }

        classes = Renumber(blocks, labels, classes);
        Sum(histograms, blocks, labels, counts);
        costBits = TotalCost(counts, classes, blocks, entries, 1);
        if (costBits >= one)
        {
            new Span<byte>(labels, blocks).Clear();
            Sum(histograms, blocks, labels, counts);
            costBits = one;
            classes = 1;
        }

        return classes;
    }

    /// <summary>16 classes of about as many blocks each, in the order of their mean entry.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AssignByMean(ushort* histograms, int blocks, byte* labels)
    {
        Span<int> buckets = stackalloc int[Entries * MeanScale];
        buckets.Clear();
        for (int b = 0; b < blocks; b++)
        {
            buckets[Mean(histograms + (b * Entries))]++;
        }

        int before = 0;
        for (int i = 0; i < buckets.Length; i++)
        {
            int here = buckets[i];
            buckets[i] = (int)((before + (here / 2)) * (long)Most / blocks);
            before += here;
        }

        for (int b = 0; b < blocks; b++)
        {
            labels[b] = (byte)Math.Min(Most - 1, buckets[Mean(histograms + (b * Entries))]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Mean(ushort* histogram)
    {
        // Sums of up to 1024 entries times up to 31 fit 16 bits lane by lane.
        Vector512<ushort> h = Vector512.Load(histogram);
        uint sum = Sum16(h * Vector512<ushort>.Indices);
        uint count = Sum16(h);
        return (int)(sum * MeanScale / count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Sum16(Vector512<ushort> x)
    {
        Vector512<uint> wide = (x.AsUInt32() & Vector512.Create(0xffffu)) + (x.AsUInt32() >>> 16);
        return Vector512.Sum(wide);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Sum(ushort* histograms, int blocks, byte* labels, Span<uint> counts)
    {
        counts.Clear();
        fixed (uint* c = counts)
        {
            for (int b = 0; b < blocks; b++)
            {
                uint* to = c + (Entries * labels[b]);
                ushort* from = histograms + (b * Entries);
                (Vector512<uint> low, Vector512<uint> high) = Vector512.Widen(Vector512.Load(from));
                (Vector512.Load(to) + low).Store(to);
                (Vector512.Load(to + 16) + high).Store(to + 16);
            }
        }
    }

    /// <summary>Bits of everything when groups of <paramref name="merge"/> classes that follow each other are one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static long TotalCost(ReadOnlySpan<uint> counts, int classes, int blocks, int entries, int merge)
    {
        ulong bits = 0;
        Span<uint> sum = stackalloc uint[Entries];
        for (int k = 0; k < classes; k++)
        {
            sum.Clear();
            for (int m = 0; m < merge; m++)
            {
                for (int s = 0; s < Entries; s++)
                {
                    sum[s] += counts[(((k * merge) + m) * Entries) + s];
                }
            }

            ulong total = 0;
            foreach (uint count in sum)
            {
                total += count;
                bits -= count == 0 ? 0 : (ulong)count * FixedLog2.Of(count);
            }

            bits += total == 0 ? 0 : total * FixedLog2.Of((uint)total);
        }

        return ((long)bits >> FixedLog2.FractionBits) + ((long)classes * entries * TableEntryBits) + (classes == 1 ? 0 : (blocks * (long)FixedLog2.Of((uint)classes)) >> FixedLog2.FractionBits);
    }

    /// <summary>Cost of every entry in every class, two entries to an int, class by lane; then the cost of the label.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void BuildCosts(ReadOnlySpan<uint> counts, int blocks, int entries, byte* labels, int* costs)
    {
        Span<uint> members = stackalloc uint[Most];
        members.Clear();
        for (int b = 0; b < blocks; b++)
        {
            members[labels[b]]++;
        }

        for (int k = 0; k < Most; k++)
        {
            uint total = 0;
            for (int s = 0; s < Entries; s++)
            {
                total += counts[(k * Entries) + s];
            }

            for (int s = 0; s < entries; s += 2)
            {
                costs[(s / 2 * Most) + k] = Cost(counts[(k * Entries) + s], total) | (Cost(counts[(k * Entries) + s + 1], total) << 16);
            }

            costs[(Entries / 2 * Most) + k] = members[k] == 0
                ? 1 << 26
                : (int)((FixedLog2.Of((uint)blocks) - FixedLog2.Of(members[k])) >> (FixedLog2.FractionBits - CostBits));
        }
    }

    private static int Cost(uint count, uint total) =>
        count == 0 || total == 0
            ? NeverSeenBits << CostBits
            : (int)Math.Min(NeverSeenBits << CostBits, (FixedLog2.Of(total) - FixedLog2.Of(count)) >> (FixedLog2.FractionBits - CostBits));

    /// <summary>Every block to the class that codes it in fewest bits, the lowest of equals, and its counts with it; false when nothing changed.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool Assign(ushort* histograms, int blocks, int entryPairs, int* costs, byte* labels, Span<uint> counts)
    {
        // Lane k is class k: sums of count x cost over pairs of entries; the class below the cost finds the smallest of both in one. Four blocks share the loads of costs and the search for the smallest lane.
        Vector512<int> labelCosts = Vector512.Load(costs + (Entries / 2 * Most));
        bool changed = false;
        fixed (uint* c = counts)
        {
            for (int b = 0; b < blocks; b += 4)
            {
                // Behind the last block the first of the four stands for those that are missing.
                int* p0 = (int*)(histograms + (b * Entries));
                int* p1 = b + 1 < blocks ? p0 + (Entries / 2) : p0;
                int* p2 = b + 2 < blocks ? p0 + Entries : p0;
                int* p3 = b + 3 < blocks ? p0 + (3 * Entries / 2) : p0;
                Vector512<int> s0 = labelCosts;
                Vector512<int> s1 = labelCosts;
                Vector512<int> s2 = labelCosts;
                Vector512<int> s3 = labelCosts;
                int* cost = costs;
                for (nint p = 0; p < entryPairs; p++, cost += Most)
                {
                    Vector512<int> k = Vector512.Load(cost);
                    s0 += PairProduct(Vector512.Create(p0[p]), k);
                    s1 += PairProduct(Vector512.Create(p1[p]), k);
                    s2 += PairProduct(Vector512.Create(p2[p]), k);
                    s3 += PairProduct(Vector512.Create(p3[p]), k);
                }

                uint best = Smallest(s0, s1, s2, s3);
                if (b + 4 <= blocks && best == BinaryPrimitives.ReadUInt32LittleEndian(new ReadOnlySpan<byte>(labels + b, 4)))
                {
                    continue;
                }

                for (int i = b; i < Math.Min(b + 4, blocks); i++, best >>= 8)
                {
                    int label = (byte)best;
                    if (label != labels[i])
                    {
                        Move(histograms + (i * Entries), c + (Entries * labels[i]), c + (Entries * label));
                        labels[i] = (byte)label;
                        changed = true;
                    }
                }
            }
        }

        return changed;
    }

    /// <summary>The index of the smallest lane of each of four vectors, the lowest of equals, in a byte each. Lanes are not negative and below 2^27.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Smallest(Vector512<int> a, Vector512<int> b, Vector512<int> c, Vector512<int> d)
    {
        // Two vectors side by side; two lanes of each of four; one of each.
        Vector256<int> ab = Vector256.Create(Quartered(a), Quartered(b));
        Vector256<int> cd = Vector256.Create(Quartered(c), Quartered(d));
        ab = Vector256.Min(ab, Vector256.Shuffle(ab, Vector256.Create(2, 3, 0, 1, 6, 7, 4, 5)));
        cd = Vector256.Min(cd, Vector256.Shuffle(cd, Vector256.Create(2, 3, 0, 1, 6, 7, 4, 5)));
        Vector256<int> acbd = Vector256.ConditionalSelect(Vector256.Create(-1, -1, 0, 0, -1, -1, 0, 0), ab, cd);
        acbd = Vector256.Min(acbd, Vector256.Shuffle(acbd, Vector256.Create(1, 0, 3, 2, 5, 4, 7, 6))) & Vector256.Create(Most - 1);
        Vector128<uint> joined = (acbd.GetLower() | (acbd.GetUpper() << 8)).AsUInt32();
        return joined.ToScalar() | (joined.GetElement(2) << 16);
    }

    /// <summary>Lanes become 16 x lane + index; of the lanes i, i + 4, i + 8 and i + 12 the smallest.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<int> Quartered(Vector512<int> x)
    {
        Vector512<int> keyed = (x << 4) | Vector512<int>.Indices;
        Vector256<int> half = Vector256.Min(keyed.GetLower(), keyed.GetUpper());
        return Vector128.Min(half.GetLower(), half.GetUpper());
    }

    /// <summary>Moves the counts of a block from one class to another.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Move(ushort* histogram, uint* from, uint* to)
    {
        (Vector512<uint> low, Vector512<uint> high) = Vector512.Widen(Vector512.Load(histogram));
        (Vector512.Load(from) - low).Store(from);
        (Vector512.Load(from + 16) - high).Store(from + 16);
        (Vector512.Load(to) + low).Store(to);
        (Vector512.Load(to + 16) + high).Store(to + 16);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> PairProduct(Vector512<int> counts, Vector512<int> costs) =>
        Avx512BW.IsSupported
            ? Avx512BW.MultiplyAddAdjacent(counts.AsInt16(), costs.AsInt16())
            : ((counts & Vector512.Create(0xffff)) * (costs & Vector512.Create(0xffff))) + ((counts >>> 16) * (costs >>> 16));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int Renumber(int blocks, byte* labels, int classes)
    {
        Span<byte> names = stackalloc byte[Most];
        names.Fill(byte.MaxValue);
        for (int b = 0; b < blocks; b++)
        {
            names[labels[b]] = 0;
        }

        int used = 0;
        for (int k = 0; k < classes; k++)
        {
            names[k] = names[k] == 0 ? (byte)used++ : byte.MaxValue;
        }

        for (int b = 0; b < blocks; b++)
        {
            labels[b] = names[labels[b]];
        }

        return used;
    }
}
