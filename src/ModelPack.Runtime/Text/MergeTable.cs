namespace ModelPack.Runtime.Text;

/// <summary>
/// Byte pair encoding (Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", 2016): of all neighbours in a word the pair
/// with the lowest rank is merged, the leftmost of equals first, until no pair is in the table.
/// </summary>
internal sealed class MergeTable(Dictionary<(int Left, int Right), (int Rank, int Merged)> merges)
{
    /// <summary>Merges the symbols of one word.</summary>
    /// <param name="symbols">Ids of its symbols, overwritten.</param>
    /// <param name="ids">Takes the result.</param>
    /// <remarks>O(n log n): neighbours wait in a queue by rank; an entry whose symbols have changed since is out of date and skipped.</remarks>
    public void Merge(Span<int> symbols, List<int> ids)
    {
        const int removed = -1;
        int n = symbols.Length;
        int[] next = new int[n];
        int[] previous = new int[n];
        var queue = new PriorityQueue<(int At, int Left, int Right, int Merged), (int Rank, int At)>();
        for (int i = 0; i < n; i++)
        {
            (next[i], previous[i]) = (i + 1, i - 1);
            if (i + 1 < n)
            {
                Offer(symbols, i, i + 1);
            }
        }

        while (queue.TryDequeue(out (int At, int Left, int Right, int Merged) pair, out _))
        {
            int right = next[pair.At];
            if (symbols[pair.At] != pair.Left || right >= n || symbols[right] != pair.Right)
            {
                continue;
            }

            symbols[pair.At] = pair.Merged;
            symbols[right] = removed;
            next[pair.At] = next[right];
            if (next[right] < n)
            {
                previous[next[right]] = pair.At;
                Offer(symbols, pair.At, next[right]);
            }

            if (previous[pair.At] >= 0)
            {
                Offer(symbols, previous[pair.At], pair.At);
            }
        }

        foreach (int symbol in symbols)
        {
            if (symbol != removed)
            {
                ids.Add(symbol);
            }
        }

        void Offer(Span<int> symbols, int at, int right)
        {
            if (merges.TryGetValue((symbols[at], symbols[right]), out (int Rank, int Merged) merge))
            {
                queue.Enqueue((at, symbols[at], symbols[right], merge.Merged), (merge.Rank, at));
            }
        }
    }
}
