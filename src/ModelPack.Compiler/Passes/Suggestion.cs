namespace ModelPack.Compiler;

/// <summary>"Did you mean": the nearest known word.</summary>
public static class Suggestion
{
    /// <summary>A clause to append to "unknown x 'y'": the nearest candidate, or all of them when none is near and they are few.</summary>
    public static string For(string word, IEnumerable<string> candidates)
    {
        string[] known = [.. candidates.Distinct(StringComparer.Ordinal)];
        string? best = known
            .Select(c => (Word: c, Distance: Distance(word, c)))
            .Where(c => c.Distance <= Math.Max(2, word.Length / 3))
            .OrderBy(c => c.Distance)
            .ThenBy(c => c.Word, StringComparer.Ordinal)
            .Select(c => c.Word)
            .FirstOrDefault();
        return best is not null ? $"; did you mean '{best}'?"
            : known.Length == 0 ? "; it has none"
            : known.Length <= 20 ? $"; known: {string.Join(", ", known.Order(StringComparer.Ordinal))}"
            : "";
    }

    /// <summary>Levenshtein distance, ignoring case; words are cut at 64 characters.</summary>
    private static int Distance(string a, string b)
    {
        string x = (a.Length > 64 ? a[..64] : a).ToLowerInvariant();
        string y = (b.Length > 64 ? b[..64] : b).ToLowerInvariant();
        int[] row = [.. Enumerable.Range(0, y.Length + 1)];
        for (int i = 1; i <= x.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= y.Length; j++)
            {
                int replaced = diagonal + (x[i - 1] == y[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(replaced, Math.Min(row[j], row[j - 1]) + 1);
            }
        }

        return row[y.Length];
    }
}
