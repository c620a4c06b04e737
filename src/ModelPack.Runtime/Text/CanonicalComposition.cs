using System.Text;

namespace ModelPack.Runtime.Text;

/// <summary>Unicode normalization forms (UAX #15), form C above all.</summary>
/// <remarks>
/// .NET's own needs the system's Unicode library: in programs with invariant globalization it gives back its input whatever that is. There, text of
/// scripts whose characters are all composed passes as it is, and anything else is refused.
/// </remarks>
internal static class CanonicalComposition
{
    private static readonly bool Available = "e\u0301".Normalize(NormalizationForm.FormC).Length == 1;

    /// <summary>Ranges of characters that form C leaves alone wherever they stand: no marks, nothing that composes with its neighbours or has a canonical decomposition outside form C.</summary>
    private static readonly (int First, int Last)[] Stable =
    [
        (0, 0x2FF), // Latin
        (0x400, 0x482), (0x48A, 0x52F), // Cyrillic
        (0x5D0, 0x5EA), (0x621, 0x64A), // Hebrew and Arabic letters
        (0x1E00, 0x1EFF), // Latin, Vietnamese
        (0x2002, 0x205F), (0x20A0, 0x20BF), (0x2190, 0x2328), (0x232B, 0x2ADB), // Punctuation, currencies, arrows, mathematics, symbols
        (0x3001, 0x3029), (0x3041, 0x3096), (0x309D, 0x30FF), // Punctuation and syllables of Japanese
        (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), // Ideographs, syllables of Korean
        (0xFE0F, 0xFE0F), (0xFF01, 0xFF60), (0xFFFD, 0xFFFD), (0x1F000, 0x1FAFF), (0x20000, 0x2A6DF), // Variation, full width, replacement, emoji
    ];

    /// <summary>The text in form C.</summary>
    /// <exception cref="ModelPackException">MP5032: not without the system's Unicode library.</exception>
    public static string Apply(string text) => Available ? string.Concat(text.EnumerateRunes()).Normalize(NormalizationForm.FormC) : Unchanged(text);

    /// <summary>The text in another form (D, KC or KD).</summary>
    /// <param name="text">The text.</param>
    /// <param name="form">The form.</param>
    /// <param name="name">Its name in messages.</param>
    /// <exception cref="ModelPackException">MP5032: it is not plain ASCII, and there is no Unicode library.</exception>
    public static string Apply(string text, NormalizationForm form, string name) =>
        Ascii.IsValid(text) ? text
        : Available ? string.Concat(text.EnumerateRunes()).Normalize(form)
        : throw Json.NotSupported($"normalizer of type '{name}' for more than ASCII, in a program with invariant globalization");

    /// <summary>The text, known to be in form C.</summary>
    /// <exception cref="ModelPackException">MP5032: it is not known to be.</exception>
    internal static string Unchanged(string text)
    {
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (!Array.Exists(Stable, r => rune.Value >= r.First && rune.Value <= r.Last))
            {
                throw Json.NotSupported($"normalizer of type 'NFC' for the character U+{rune.Value:X4}, in a program with invariant globalization");
            }
        }

        return text;
    }
}
