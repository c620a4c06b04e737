using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace ModelPack.Runtime.Text;

/// <summary>
/// A regular expression that takes text apart into words, or finds what a normalizer replaces. Written for Oniguruma, which sees code points; .NET sees UTF-16 and would take a letter
/// outside the first plane for two unknown characters. So the expression runs on a stand-in with one character per code point: itself, or one of the
/// same category.
/// </summary>
internal sealed class WordPattern
{
    /// <summary>GPT-2's (Radford et al. 2019), which the ByteLevel pre-tokenizer has built in.</summary>
    public const string Gpt2 = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    /// <summary>A character above ASCII per category that occurs outside the first plane.</summary>
    private static readonly Dictionary<UnicodeCategory, char> StandIns = Enumerable.Range(0x80, 0xD800 - 0x80)
        .GroupBy(c => CharUnicodeInfo.GetUnicodeCategory(c)).ToDictionary(g => g.Key, g => (char)g.First());

    private readonly Regex _regex;

    /// <exception cref="ModelPackException">MP5032: the expression means something else to .NET, or nothing.</exception>
    public WordPattern(string pattern)
    {
        if (Foreign(pattern) is string construct)
        {
            throw NotSupported(pattern, $"{construct} has another meaning here");
        }

        try
        {
            _regex = new Regex(pattern, RegexOptions.CultureInvariant, Timeout);
        }
        catch (ArgumentException e)
        {
            throw NotSupported(pattern, e.Message);
        }
    }

    /// <summary>Matches, in order, none empty, with what lies between them.</summary>
    /// <exception cref="ModelPackException">MP5032: the expression needs too long for the text.</exception>
    public List<(string Text, bool IsMatch)> Split(string text)
    {
        string shadow = Shadow(text, out int[]? offsets);
        var parts = new List<(string, bool)>();
        int done = 0;
        try
        {
            for (Match match = _regex.Match(shadow); match.Success; match = match.NextMatch())
            {
                if (match.Length > 0)
                {
                    Add(done, match.Index, false);
                    done = match.Index + match.Length;
                    Add(match.Index, done, true);
                }
            }
        }
        catch (RegexMatchTimeoutException e)
        {
            throw new ModelPackException(ErrorCodes.TokenizerNotSupported, $"a regular expression of the tokenizer takes more than {Timeout.TotalSeconds} s on this text", innerException: e);
        }

        Add(done, shadow.Length, false);
        return parts;

        void Add(int from, int to, bool isMatch)
        {
            if (from < to)
            {
                parts.Add((offsets is null ? text[from..to] : text[offsets[from]..offsets[to]], isMatch));
            }
        }
    }

    /// <summary>One character per code point, and where each begins; no offsets when text has none outside the first plane.</summary>
    private static string Shadow(string text, out int[]? offsets)
    {
        offsets = null;
        if (!text.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF'))
        {
            return text;
        }

        var shadow = new StringBuilder(text.Length);
        var starts = new List<int>(text.Length + 1);
        int at = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            starts.Add(at);
            at += rune.Utf16SequenceLength;
            shadow.Append(rune.IsBmp ? (char)rune.Value : StandIns.GetValueOrDefault(Rune.GetUnicodeCategory(rune), '\u0378'));
        }

        starts.Add(at);
        offsets = [.. starts];
        return shadow.ToString();
    }

    /// <summary>A construct that .NET accepts and reads differently; null when there is none.</summary>
    private static string? Foreign(string pattern)
    {
        bool inClass = false;
        for (int i = 0; i < pattern.Length; i++)
        {
            char c = pattern[i];
            if (char.IsSurrogate(c))
            {
                return "a character outside the first plane";
            }

            if (c == '\\' && i + 1 < pattern.Length)
            {
                if ("wWbBGZzA".Contains(pattern[++i], StringComparison.Ordinal))
                {
                    return $"'\\{pattern[i]}'";
                }
            }
            else if (inClass)
            {
                if (c == '[' || (c == '&' && i + 1 < pattern.Length && pattern[i + 1] == '&'))
                {
                    return c == '[' ? "a class inside a class" : "'&&'";
                }

                inClass = c != ']';
            }
            else if (c == '[')
            {
                inClass = true;
                i += i + 1 < pattern.Length && pattern[i + 1] == '^' ? 1 : 0;
                if (i + 1 < pattern.Length && pattern[i + 1] == ']')
                {
                    return "']' at the start of a class";
                }
            }
            else if (c is '^' or '$')
            {
                return $"'{c}'";
            }
        }

        return null;
    }

    private static ModelPackException NotSupported(string pattern, string reason) =>
        Json.NotSupported($"regular expression '{pattern}': {reason}");
}
