using System.Text;

namespace ModelPack.Runtime.Text;

/// <summary>
/// Letters without their accents: canonical decomposition (UAX #15, form D) without marks that take no room (category Mn). From a table of our own, so that the ids of a text do not depend on the system's Unicode library, or on there
/// being one. Marks that take room keep their order, which form D would change for a dozen signs of music and Hangul tones in a row.
/// </summary>
internal static partial class Accents
{
    private const int HangulFirst = 0xAC00;
    private const int HangulLast = 0xD7A3;
    private const int LeadFirst = 0x1100;
    private const int VowelFirst = 0x1161;
    private const int TailFirst = 0x11A7;
    private const int Vowels = 21;
    private const int Tails = 28;

    private static readonly Dictionary<int, string> Bases = Read();

    /// <summary>The text without accents.</summary>
    public static string Strip(string text)
    {
        var result = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (rune.Value is >= HangulFirst and <= HangulLast)
            {
                AppendHangul(rune.Value - HangulFirst, result);
            }
            else if (Bases.TryGetValue(rune.Value, out string? letters))
            {
                result.Append(letters);
            }
            else if (Rune.GetUnicodeCategory(rune) != System.Globalization.UnicodeCategory.NonSpacingMark)
            {
                result.Append(rune.ToString());
            }
        }

        return result.ToString();
    }

    /// <summary>A syllable is a consonant, a vowel and perhaps a consonant, by number.</summary>
    private static void AppendHangul(int syllable, StringBuilder result)
    {
        result.Append((char)(LeadFirst + (syllable / (Vowels * Tails)))).Append((char)(VowelFirst + (syllable / Tails % Vowels)));
        if (syllable % Tails > 0)
        {
            result.Append((char)(TailFirst + (syllable % Tails)));
        }
    }

    private static Dictionary<int, string> Read()
    {
        var bases = new Dictionary<int, string>();
        foreach (string entry in Table.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            int equals = entry.IndexOf('=', 1);
            string letters = entry[..equals];
            Rune[] runes = [.. entry[(equals + 1)..].EnumerateRunes()];
            for (int i = 0; i < runes.Length; i++)
            {
                int first = runes[i].Value == '-' ? runes[i - 1].Value : runes[i].Value;
                int last = runes[i].Value == '-' ? runes[++i].Value : first;
                for (int c = first; c <= last; c++)
                {
                    bases[c] = letters;
                }
            }
        }

        return bases;
    }
}
