using System.Globalization;
using System.Text;

namespace ModelPack.Runtime.Text;

/// <summary>What BERT's tokenizer does to text before it looks words up (Devlin et al. 2018; tokenizer.json's BertNormalizer and BertPreTokenizer).</summary>
/// <param name="CleanText">Control characters go, all white space becomes spaces.</param>
/// <param name="ChineseCharacters">Ideographs become words of their own.</param>
/// <param name="StripAccents">Letters lose their accents.</param>
/// <param name="Lowercase">Lower case.</param>
internal sealed record BertText(bool CleanText, bool ChineseCharacters, bool StripAccents, bool Lowercase)
{
    /// <summary>Ideographs as Hugging Face's library lists them: U+2B820 to U+2B91F are not among them.</summary>
    private static readonly (int First, int Last)[] Ideographs =
    [
        (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
    ];

    /// <summary>The one letter whose lower case is longer than one character.</summary>
    private const int CapitalIWithDot = 0x130;

    /// <summary>The text as the vocabulary knows it. Unpaired surrogates count as U+FFFD.</summary>
    public string Normalize(string text)
    {
        var clean = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (CleanText && (rune.Value is 0 or 0xFFFD || IsControl(rune)))
            {
                continue;
            }

            bool alone = ChineseCharacters && Array.Exists(Ideographs, r => rune.Value >= r.First && rune.Value <= r.Last);
            clean.Append(alone ? " " : "").Append(CleanText && Rune.IsWhiteSpace(rune) ? " " : rune.ToString()).Append(alone ? " " : "");
        }

        string result = StripAccents ? Accents.Strip(clean.ToString()) : clean.ToString();
        return Lowercase ? Lower(result) : result;
    }

    /// <summary>Lower case of every character by itself.</summary>
    public static string Lower(string text) => string.Concat(text.EnumerateRunes().Select(r => r.Value == CapitalIWithDot ? "i\u0307" : Rune.ToLowerInvariant(r).ToString()));

    /// <summary>Cuts at white space, which goes, and around every punctuation mark.</summary>
    public static IEnumerable<string> Words(string text)
    {
        int start = 0;
        int at = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            bool space = Rune.IsWhiteSpace(rune);
            bool mark = IsPunctuation(rune);
            int next = at + rune.Utf16SequenceLength;
            if (space || mark)
            {
                if (at > start)
                {
                    yield return text[start..at];
                }

                if (mark)
                {
                    yield return text[at..next];
                }

                start = next;
            }

            at = next;
        }

        if (at > start)
        {
            yield return text[start..at];
        }
    }

    private static bool IsControl(Rune rune) =>
        rune.Value is not ('\t' or '\n' or '\r') && Rune.GetUnicodeCategory(rune) is UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.PrivateUse;

    /// <summary>All of ASCII that is neither letter, digit nor space counts, as '$' and '^', which Unicode calls symbols.</summary>
    private static bool IsPunctuation(Rune rune) =>
        rune.Value is (>= '!' and <= '/') or (>= ':' and <= '@') or (>= '[' and <= '`') or (>= '{' and <= '~') || Rune.IsPunctuation(rune);
}
