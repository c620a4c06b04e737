using System.Globalization;
using System.Text;

namespace ModelPack.Runtime.Text;

/// <summary>
/// Pieces with scores (logarithms of probabilities), and the cut of a word that has the largest sum of them: Viterbi's algorithm over the pieces that begin at each character. Of equal sums the one whose last piece begins first wins, as in Hugging Face's library.
/// </summary>
internal sealed class UnigramModel
{
    /// <summary>What a character without a piece scores less than the lowest piece.</summary>
    private const double UnknownPenalty = 10;

    /// <summary>Sorted by code units: the pieces that begin with a text are a range, which gets narrower with every character.</summary>
    private readonly string[] _sorted;

    private readonly int[] _ids;
    private readonly double[] _scores;
    private readonly int? _unknown;
    private readonly double _unknownScore;
    private readonly int?[]? _bytes;

    /// <param name="pieces">Pieces by id; of one that is there twice the last id counts. Not empty.</param>
    /// <param name="unknown">Id of the token for characters without a piece; null: there is none.</param>
    /// <param name="byteFallback">Characters without a piece are the tokens <c>&lt;0xHH&gt;</c> of their bytes where all of them are there.</param>
    public UnigramModel(IReadOnlyList<(string Piece, double Score)> pieces, int? unknown, bool byteFallback)
    {
        Size = pieces.Count;
        Ids = new Dictionary<string, int>(pieces.Count, StringComparer.Ordinal);
        for (int id = 0; id < pieces.Count; id++)
        {
            Ids[pieces[id].Piece] = id;
        }

        _sorted = [.. Ids.Keys.Where(p => p.Length > 0).Order(StringComparer.Ordinal)];
        _ids = [.. _sorted.Select(p => Ids[p])];
        _scores = [.. _ids.Select(i => pieces[i].Score)];
        _unknown = unknown;
        _unknownScore = pieces.Min(p => p.Score) - UnknownPenalty;
        _bytes = !byteFallback ? null
            : [.. Enumerable.Range(0, 256).Select(b => Ids.TryGetValue(string.Create(CultureInfo.InvariantCulture, $"<0x{b:X2}>"), out int id) ? id : (int?)null)];
    }

    /// <summary>Ids are below this number.</summary>
    public int Size { get; }

    /// <summary>Ids by piece.</summary>
    public Dictionary<string, int> Ids { get; }

    /// <summary>Adds the ids of a word.</summary>
    /// <param name="word">Well-formed text; not empty.</param>
    /// <param name="ids">Takes them.</param>
    /// <exception cref="ModelPackException">MP5050: no piece, and no token for that.</exception>
    public void Encode(string word, List<int> ids)
    {
        (int Start, int Id)[] best = Search(word);
        var cuts = new Stack<(int Start, int End, int Id)>();
        for (int end = word.Length; end > 0; end = best[end].Start)
        {
            (int start, int id) = best[end];
            if (id == _unknown && cuts.TryPeek(out (int Start, int End, int Id) next) && next.Id == _unknown)
            {
                cuts.Pop();
                cuts.Push((start, next.End, id)); // In a row they are one.
            }
            else
            {
                cuts.Push((start, end, id));
            }
        }

        foreach ((int start, int end, int id) in cuts)
        {
            if (id == _unknown)
            {
                AddUnknown(word[start..end], ids);
            }
            else
            {
                ids.Add(id);
            }
        }
    }

    /// <summary>By end of a piece: where the best cut up to there has its last one begin, and its id.</summary>
    private (int Start, int Id)[] Search(string word)
    {
        var best = new (int Start, int Id)[word.Length + 1];
        double[] sums = new double[word.Length + 1];
        Array.Fill(sums, double.NegativeInfinity, 1, word.Length);
        for (int start = 0; start < word.Length;)
        {
            int next = start + (char.IsHighSurrogate(word[start]) ? 2 : 1);
            bool alone = double.IsNegativeInfinity(sums[start]); // Only without an unknown token.
            bool single = alone;
            int low = 0;
            int high = _sorted.Length;
            for (int end = start; end < word.Length && low < high && !alone;)
            {
                Narrow(word[end], end - start, ref low, ref high);
                end++;
                if (low < high && _sorted[low].Length == end - start)
                {
                    single |= end == next;
                    Offer(end, _scores[low], _ids[low]);
                }
            }

            if (!single && _unknown is int unknown)
            {
                Offer(next, _unknownScore, unknown);
            }

            start = next;

            void Offer(int end, double score, int id)
            {
                double sum = sums[start] + score;
                if (sum > sums[end])
                {
                    sums[end] = sum;
                    best[end] = (start, id);
                }
            }
        }

        if (!double.IsNegativeInfinity(sums[word.Length]))
        {
            return best;
        }

        int reached = Array.FindLastIndex(sums, s => !double.IsNegativeInfinity(s));
        throw new ModelPackException(ErrorCodes.TextWithoutTokens, string.Create(CultureInfo.InvariantCulture, $"{BytePairTokenizer.FileName} has no unknown token (model.unk_id), and no pieces for '{word}' from U+{Rune.GetRuneAt(word, reached).Value:X4} on"));
    }

    /// <summary>Of pieces that agree before <paramref name="at"/>, the range of those that have the character there.</summary>
    private void Narrow(char character, int at, ref int low, ref int high)
    {
        low = Bound(low, high, at, character);
        high = Bound(low, high, at, character + 1);
    }

    /// <summary>Of such a range, the first piece with a character there that is not below <paramref name="character"/>; pieces that end before come first.</summary>
    private int Bound(int low, int high, int at, int character)
    {
        while (low < high)
        {
            int middle = (low + high) / 2;
            string piece = _sorted[middle];
            (low, high) = piece.Length > at && piece[at] >= character ? (low, middle) : (middle + 1, high);
        }

        return low;
    }

    private void AddUnknown(string text, List<int> ids)
    {
        if (Ids.TryGetValue(text, out int known))
        {
            ids.Add(known); // The unknown token's own text.
            return;
        }

        int?[] tokens = _bytes is null ? [] : [.. Encoding.UTF8.GetBytes(text).Select(b => _bytes[b])];
        if (tokens.Length > 0 && tokens.All(t => t is not null))
        {
            ids.AddRange(tokens.Select(t => t!.Value));
        }
        else
        {
            ids.Add(_unknown!.Value);
        }
    }
}
