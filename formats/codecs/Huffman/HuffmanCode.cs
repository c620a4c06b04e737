using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Codecs;

/// <summary>
/// Length-limited canonical Huffman codes over bytes. Integers only: the same counts give the same code everywhere. Lengths are at most <see cref="MaxBits"/>; 0 is a
/// symbol that does not occur.
/// </summary>
internal static class HuffmanCode
{
    /// <summary>The longest code word.</summary>
    public const int MaxBits = 11;

    /// <summary>Size of the alphabet.</summary>
    public const int Symbols = 256;

    /// <summary>
    /// Optimal lengths under the limit, by package-merge (Larmore and Hirschberg, 1990). At least two of the 256 counts must not be zero, and their sum must be below 2^31.
    /// </summary>
    /// <returns>The length of the coded text in bits.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static long BuildLengths(ReadOnlySpan<uint> counts, Span<byte> lengths)
    {
        // Leaves in ascending order of (count, symbol): a total order, so ties are decided once and for all.
        Span<ulong> leaves = (stackalloc ulong[Symbols + 2])[1..];
        int n = 0;
        for (int s = 0; s < Symbols; s++)
        {
            if (counts[s] != 0)
            {
                leaves[n++] = ((ulong)counts[s] << 8) | (uint)s;
            }
        }

        leaves[..n].Sort();
        Span<byte> symbols = stackalloc byte[Symbols];
        for (int i = 0; i < n; i++)
        {
            symbols[i] = (byte)leaves[i];
            leaves[i] >>= 8;
        }

        // Zero, below every count, is already before the first.
        leaves[n] = ulong.MaxValue;
        lengths[..Symbols].Clear();

        // Level by level from the deepest: a level holds all leaves and the pairs of the level below, in ascending order of weight, a leaf first when equal. Of each level only
        // the kind of its items is kept: how many leaves are among the first items is all that counts.
        Span<bool> isLeaf = stackalloc bool[MaxBits * 2 * Symbols];
        Span<ulong> level = stackalloc ulong[2 * Symbols];
        Span<ulong> pairs = (stackalloc ulong[Symbols + 2])[1..];
        int count = 0;
        for (int depth = 0; depth < MaxBits; depth++)
        {
            int packages = count / 2;
            for (int i = 0; i < packages; i++)
            {
                pairs[i] = level[2 * i] + level[(2 * i) + 1];
            }

            pairs[packages] = ulong.MaxValue;
            count = n + packages;
            Merge(leaves[..n], pairs[..packages], level[..count], isLeaf.Slice(depth * 2 * Symbols, count));
        }

        int take = 2 * (n - 1);
        long bits = 0;
        for (int depth = MaxBits - 1; depth >= 0 && take > 0; depth--)
        {
            int chosen = isLeaf.Slice(depth * 2 * Symbols, take).Count(true);
            for (int i = 0; i < chosen; i++)
            {
                lengths[symbols[i]]++;
                bits += (long)leaves[i];
            }

            take = 2 * (take - chosen);
        }

        return bits;
    }

    /// <summary>
    /// Merges two ascending lists, from both ends at once and without branches: none could be predicted, and two chains of loads wait for memory together. Before the first value of
    /// each list lies a value below, after the last one a value above all others.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Merge(ReadOnlySpan<ulong> leaves, ReadOnlySpan<ulong> pairs, Span<ulong> merged, Span<bool> isLeaf)
    {
        ref ulong leaf = ref MemoryMarshal.GetReference(leaves);
        ref ulong pair = ref MemoryMarshal.GetReference(pairs);
        ref ulong lastLeaf = ref Unsafe.Add(ref leaf, leaves.Length - 1);
        ref ulong lastPair = ref Unsafe.Add(ref pair, pairs.Length - 1);
        int back = merged.Length - 1;
        for (int i = 0; i <= back; i++, back--)
        {
            bool first = leaf <= pair;
            bool last = lastLeaf > lastPair;
            merged[back] = last ? lastLeaf : lastPair;
            isLeaf[back] = last;
            merged[i] = first ? leaf : pair;
            isLeaf[i] = first;
            nint step = Unsafe.BitCast<bool, byte>(first);
            nint lastStep = Unsafe.BitCast<bool, byte>(last);
            leaf = ref Unsafe.Add(ref leaf, step);
            pair = ref Unsafe.Add(ref pair, 1 - step);
            lastLeaf = ref Unsafe.Add(ref lastLeaf, -lastStep);
            lastPair = ref Unsafe.Add(ref lastPair, lastStep - 1);
        }
    }

    /// <summary>True when the lengths are those of a complete prefix code: no bit pattern without a meaning, none with two. Such a code has at least two symbols.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static bool IsComplete(ReadOnlySpan<byte> lengths)
    {
        int used = 0;
        foreach (byte length in lengths)
        {
            used += length == 0 ? 0 : (1 << MaxBits) >> length;
        }

        return used == 1 << MaxBits;
    }

    /// <summary>
    /// Canonical code words: ascending by length, then by symbol, counting up from zero. An entry is <c>code &lt;&lt; 8 | length</c>, 0 for a symbol without code.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void BuildCodes(ReadOnlySpan<byte> lengths, Span<uint> codes)
    {
        uint code = 0;
        for (int bits = 1; bits <= MaxBits; bits++)
        {
            for (int s = 0; s < Symbols; s++)
            {
                if (lengths[s] == bits)
                {
                    codes[s] = (code << 8) | (uint)bits;
                    code++;
                }
            }

            code <<= 1;
        }
    }
}
